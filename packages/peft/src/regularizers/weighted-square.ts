import { mul } from '@flex/tensor';
import { elementwise } from '@flex/tensor/kernel';

/** w·x². weights f32 [..], x f32 [..] → f32 [broadcast]. */
export const weightedSquare = elementwise('weightedSquare', (weights, x) => mul(mul(weights, x), x), {
  known: [['[0.5, 2] [-4, 3]', [8, 18]]],
});
