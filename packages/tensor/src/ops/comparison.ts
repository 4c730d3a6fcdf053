import { elementwise } from '../elementwise.ts';
import type { Tensor } from '../tensor.ts';

const greaterOp = elementwise('greater', 2, {
  wgsl: 'select(vec4f(0.0), vec4f(1.0), x > y)',
  js: 'x > y ? 1 : 0',
  vjp: null,
  known: [
    {
      inputs: [
        { shape: [3], data: [1, 2, 3] },
        { shape: [3], data: [2, 2, 2] },
      ],
      attrs: { scalars: [] },
      output: [0, 0, 1],
    },
  ],
});
/** 1 where x > y, else 0; it has no gradient. f32 [..], [..] → f32 [broadcast]. */
export const greater = (x: Tensor, y: Tensor): Tensor => greaterOp([x, y]);
/** 1 where x < y, else 0; it has no gradient. f32 [..], [..] → f32 [broadcast]. */
export const less = (x: Tensor, y: Tensor): Tensor => greater(y, x);

const equalOp = elementwise('equal', 2, {
  wgsl: 'select(vec4f(0.0), vec4f(1.0), x == y)',
  js: 'x == y ? 1 : 0',
  vjp: null,
  known: [
    {
      inputs: [
        { shape: [3], data: [1, 2, 3] },
        { shape: [3], data: [2, 2, 2] },
      ],
      attrs: { scalars: [] },
      output: [0, 1, 0],
    },
  ],
});
/** 1 where x = y, else 0; it has no gradient. f32 [..], [..] → f32 [broadcast]. */
export const equal = (x: Tensor, y: Tensor): Tensor => equalOp([x, y]);

const whereOp = elementwise('where', 3, {
  wgsl: 'select(z, y, x != vec4f(0.0))',
  js: 'x != 0 ? y : z',
  vjp: (g, [condition]) => [null, () => keepWhere(condition, g, 1), () => keepWhere(condition, g, 0)],
  known: [
    {
      inputs: [
        { shape: [3], data: [-1, 0, 2] },
        { shape: [3], data: [1, 2, 3] },
        { shape: [3], data: [4, 5, 6] },
      ],
      attrs: { scalars: [] },
      output: [1, 5, 3],
    },
  ],
});
/**
 * x where the condition is not 0, else y; differentiable in x and y, not in the condition.
 * f32 [..], [..], [..] → f32 [broadcast].
 */
export const where = (condition: Tensor, x: Tensor, y: Tensor): Tensor => whereOp([condition, x, y]);

const keepWhereOp = elementwise('keepWhere', 2, {
  wgsl: 'select(vec4f(0.0), y, (x != vec4f(0.0)) == vec4<bool>(wanted != 0.0))',
  js: '(x != 0 ? 1 : 0) == wanted ? y : 0',
  scalars: ['wanted'],
  vjp: (g, [condition], _, [wanted]) => [null, () => keepWhere(condition, g, wanted)],
  testScalars: [1],
});
/** x where the condition is not 0 (wanted 1) or is 0 (wanted 0), else 0: the adjoint of `where`. */
const keepWhere = (condition: Tensor, x: Tensor, wanted: number): Tensor =>
  keepWhereOp([condition, x], [wanted]);

const maximumOp = elementwise('maximum', 2, {
  wgsl: 'max(x, y)',
  js: 'Math.max(x, y)',
  vjp: (g, [x, y]) => [() => keepWinner(g, x, y), () => keepWinner(g, y, x)],
});
/** The larger of x and y; equal ones share the gradient. f32 [..], [..] → f32 [broadcast]. */
export const maximum = (x: Tensor, y: Tensor): Tensor => maximumOp([x, y]);

const minimumOp = elementwise('minimum', 2, {
  wgsl: 'min(x, y)',
  js: 'Math.min(x, y)',
  vjp: (g, [x, y]) => [() => keepWinner(g, y, x), () => keepWinner(g, x, y)],
});
/** The smaller of x and y; equal ones share the gradient. f32 [..], [..] → f32 [broadcast]. */
export const minimum = (x: Tensor, y: Tensor): Tensor => minimumOp([x, y]);

const keepWinnerOp = elementwise('keepWinner', 3, {
  // NUMERICS: equal ones get half each, as torch.maximum does.
  wgsl: 'select(select(vec4f(0.0), 0.5 * x, y == z), x, y > z)',
  js: 'y > z ? x : y == z ? 0.5 * x : 0',
  vjp: (g, [, winner, loser]) => [() => keepWinner(g, winner, loser), null, null],
  known: [
    {
      inputs: [
        { shape: [3], data: [8, 8, 8] },
        { shape: [3], data: [1, 2, 3] },
        { shape: [3], data: [2, 2, 2] },
      ],
      attrs: { scalars: [] },
      output: [0, 4, 8],
    },
  ],
});
/** g where winner > loser, g/2 where they are equal, else 0. */
const keepWinner = (g: Tensor, winner: Tensor, loser: Tensor): Tensor => keepWinnerOp([g, winner, loser]);

const clampOp = elementwise('clamp', 1, {
  wgsl: 'min(max(x, vec4f(lo)), vec4f(hi))',
  js: 'Math.min(Math.max(x, lo), hi)',
  scalars: ['lo', 'hi'],
  vjp: (g, [x], _, scalars) => [() => keepInside([g, x], scalars)],
  testScalars: [-0.75, 1.25],
});
/** x kept in [lo, hi]; the gradient is 1 inside, both bounds included, else 0. f32 [..] → f32 [..]. */
export const clamp = (x: Tensor, lo: number, hi: number): Tensor => clampOp([x], [lo, hi]);

/** g where lo ≤ x ≤ hi, else 0. */
const keepInside = elementwise('keepInside', 2, {
  wgsl: 'select(vec4f(0.0), x, (y >= vec4f(lo)) & (y <= vec4f(hi)))',
  js: 'y >= lo && y <= hi ? x : 0',
  scalars: ['lo', 'hi'],
  vjp: (g, [, x], _, scalars) => [() => keepInside([g, x], scalars), null],
  testScalars: [-0.75, 1.25],
  known: [
    {
      inputs: [
        { shape: [4], data: [1, 2, 3, 4] },
        { shape: [4], data: [-1, 0, 1, 2] },
      ],
      attrs: { scalars: [0, 1] },
      output: [0, 2, 3, 0],
    },
  ],
});
