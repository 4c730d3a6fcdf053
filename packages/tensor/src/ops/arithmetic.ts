import { elementwise } from '../elementwise.ts';
import * as scalar from '../expr.ts';
import { size } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { type ReduceOptions, sum } from './sum.ts';

/** x + y. f32 [..], [..] → f32 [broadcast]. */
export const add = elementwise('add', (x, y) => scalar.call(scalar.add, x, y), {
  known: [['[1, 2] [3, 5]', [4, 7]]],
});

/** x − y. f32 [..], [..] → f32 [broadcast]. */
export const sub = elementwise('sub', (x, y) => scalar.call(scalar.sub, x, y));

/** x·y, element by element. f32 [..], [..] → f32 [broadcast]. */
export const mul = elementwise('mul', (x, y) => scalar.call(scalar.mul, x, y));

/** x / y. f32 [..], [..] → f32 [broadcast]. */
export const div = elementwise('div', (x, y) => scalar.call(scalar.div, x, y), {
  domains: [undefined, { kind: 'real', min: 0.5, max: 2 }],
});

/** −x. f32 [..] → f32 [..]. */
export const neg = elementwise('neg', (x) => scalar.call(scalar.neg, x));

/** x². f32 [..] → f32 [..]. */
export const square = elementwise('square', (x) => mul(x, x));

/** x + scale·y. f32 [..], [..], [..] → f32 [broadcast]. */
export const addScaled = elementwise('addScaled', (x, y, scale) => add(x, mul(scale, y)));

/** Σ / count over the axes. f32 [..] → f32 [..]. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  const total = sum(x, options);
  return mul(total, size(total.shape) / size(x.shape));
}
