import { elementwise } from '../elementwise.ts';
import * as scalar from '../expr.ts';

/** 1 where x > y, else 0; its gradient is 0. f32 [..], [..] → f32 [broadcast]. */
export const greater = elementwise('greater', (x, y) => scalar.call(scalar.greater, x, y), {
  known: [['[1, 2, 3] [2, 2, 2]', [0, 0, 1]]],
});

/** 1 where x < y, else 0; its gradient is 0. f32 [..], [..] → f32 [broadcast]. */
export const less = elementwise('less', (x, y) => greater(y, x));

/** 1 where x = y, else 0; its gradient is 0. f32 [..], [..] → f32 [broadcast]. */
export const equal = elementwise('equal', (x, y) => scalar.call(scalar.equal, x, y), {
  known: [['[1, 2, 3] [2, 2, 2]', [0, 1, 0]]],
});

/**
 * x where the condition is not 0, else y, and NaN where it is NaN; differentiable in x and y, not in the
 * condition. f32 [..], [..], [..] → f32 [broadcast].
 */
export const where = elementwise('where', (condition, x, y) => scalar.call(scalar.where, condition, x, y), {
  known: [['[-1, 0, 2] [1, 2, 3] [4, 5, 6]', [1, 5, 3]]],
});

/** The larger of x and y; equal ones share the gradient. f32 [..], [..] → f32 [broadcast]. */
export const maximum = elementwise('maximum', (x, y) => scalar.call(scalar.maximum, x, y));

/** The smaller of x and y; equal ones share the gradient. f32 [..], [..] → f32 [broadcast]. */
export const minimum = elementwise('minimum', (x, y) => scalar.call(scalar.minimum, x, y));

/** x kept in [lo, hi]; the gradient is 1 inside, both bounds included, else 0. f32 [..] → f32 [..]. */
export const clamp = elementwise(
  'clamp',
  (x, lo, hi) => {
    const above = where(less(x, lo), lo, x);
    return where(greater(above, hi), hi, above);
  },
  {
    numbers: [-0.75, 1.25],
  },
);
