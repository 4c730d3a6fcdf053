import { add, div, reshape, scope, size, sqrt, square, sub, type Tensor, zeros } from '@flex/tensor';
import { rowSum, rowwiseAll } from '@flex/tensor/kernel';
import type { Params } from './optimizer.ts';

/** Two sums carried from parameter to parameter: Σ (after − before)² and Σ before². */
const squaredLengths = rowwiseAll(
  'squaredLengths',
  ['row', 'row', 'cell', 'cell'],
  (before, after, moved, length) => [
    add(moved, rowSum(square(sub(after, before)))),
    add(length, rowSum(square(before))),
  ],
);

/** All elements as one row, [1, n]. */
export const asRow = (x: Tensor): Tensor => reshape(x, [1, size(x.shape)]);

/**
 * ‖after − before‖₂ / ‖before‖₂ over all parameters: f32 [], on the device, in one dispatch a parameter.
 * Not a finite number where all of `before` is 0.
 */
export function updateRatio(before: Params, after: Params): Tensor {
  return scope(() => {
    const [{ backend }] = before.values();
    let [moved, length] = [zeros(backend, [1]), zeros(backend, [1])];
    for (const [name, p] of before) {
      [moved, length] = squaredLengths(asRow(p), asRow(after.get(name)!), moved, length);
    }
    return reshape(sqrt(div(moved, length)), []);
  });
}
