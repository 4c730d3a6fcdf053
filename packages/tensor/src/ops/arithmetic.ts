import { elementwise } from '../elementwise.ts';
import { size } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { type ReduceOptions, sum } from './sum.ts';

const addOp = elementwise('add', 2, {
  wgsl: 'x + y',
  js: 'x + y',
  vjp: (g) => [() => g, () => g],
  known: [
    {
      inputs: [
        { shape: [2], data: [1, 2] },
        { shape: [2], data: [3, 5] },
      ],
      attrs: { scalars: [] },
      output: [4, 7],
    },
  ],
});
/** x + y. f32 [..], [..] → f32 [broadcast]. */
export const add = (x: Tensor, y: Tensor): Tensor => addOp([x, y]);

const subOp = elementwise('sub', 2, { wgsl: 'x - y', js: 'x - y', vjp: (g) => [() => g, () => neg(g)] });
/** x − y. f32 [..], [..] → f32 [broadcast]. */
export const sub = (x: Tensor, y: Tensor): Tensor => subOp([x, y]);

const mulOp = elementwise('mul', 2, {
  wgsl: 'x * y',
  js: 'x * y',
  vjp: (g, [x, y]) => [() => mul(g, y), () => mul(g, x)],
});
/** x·y, element by element. f32 [..], [..] → f32 [broadcast]. */
export const mul = (x: Tensor, y: Tensor): Tensor => mulOp([x, y]);

const divOp = elementwise('div', 2, {
  wgsl: 'x / y',
  js: 'x / y',
  vjp: (g, [, y], quotient) => [() => div(g, y), () => neg(mul(g, div(quotient, y)))],
  domains: [undefined, { kind: 'real', min: 0.5, max: 2 }],
});
/** x / y. f32 [..], [..] → f32 [broadcast]. */
export const div = (x: Tensor, y: Tensor): Tensor => divOp([x, y]);

const negOp = elementwise('neg', 1, { wgsl: '-x', js: '-x', vjp: (g) => [() => neg(g)] });
/** −x. f32 [..] → f32 [..]. */
export const neg = (x: Tensor): Tensor => negOp([x]);

const affineOp = elementwise('affine', 1, {
  wgsl: 'x * scale + shift',
  js: 'x * scale + shift',
  scalars: ['scale', 'shift'],
  vjp: (g, _inputs, _output, [scale]) => [() => mulScalar(g, scale)],
  testScalars: [-1.5, 0.25],
});
/** scale·x + shift. f32 [..] → f32 [..]. */
export const affine = (x: Tensor, scale: number, shift: number): Tensor => affineOp([x], [scale, shift]);
/** c·x. f32 [..] → f32 [..]. */
export const mulScalar = (x: Tensor, c: number): Tensor => affine(x, c, 0);
/** x + c. f32 [..] → f32 [..]. */
export const addScalar = (x: Tensor, c: number): Tensor => affine(x, 1, c);

const addScaledOp = elementwise('addScaled', 2, {
  wgsl: 'x + scale * y',
  js: 'x + scale * y',
  scalars: ['scale'],
  vjp: (g, _inputs, _output, [scale]) => [() => g, () => mulScalar(g, scale)],
  testScalars: [0.75],
});
/** x + scale·y. f32 [..], [..] → f32 [broadcast]. */
export const addScaled = (x: Tensor, y: Tensor, scale: number): Tensor => addScaledOp([x, y], [scale]);

const squareOp = elementwise('square', 1, {
  wgsl: 'x * x',
  js: 'x * x',
  vjp: (g, [x]) => [() => mulScalar(mul(g, x), 2)],
});
/** x². f32 [..] → f32 [..]. */
export const square = (x: Tensor): Tensor => squareOp([x]);

/** Σ / count over the axes. f32 [..] → f32 [..]. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  const total = sum(x, options);
  return mulScalar(total, size(total.shape) / size(x.shape));
}
