import { add, concat, div, scope, sqrt, square, sub, sum, type Tensor, zeros } from '@flex/tensor';
import { rowSum, rowwiseAll } from '@flex/tensor/kernel';
import type { Params } from './optimizer.ts';
import { rowsByLength } from './stacks.ts';

/** Two sums along rows carried from pair to pair: Σ (after − before)² and Σ before². */
const squaredLengths = rowwiseAll(
  'squaredLengths',
  ['row', 'row', 'cell', 'cell'],
  (before, after, moved, length) => [
    add(moved, rowSum(square(sub(after, before)))),
    add(length, rowSum(square(before))),
  ],
);

/**
 * ‖after − before‖₂ / ‖before‖₂ over all parameters: f32 [], on the device, in a dispatch a stack and few
 * more. Not a finite number where all of `before` is 0.
 */
export function updateRatio(before: Params, after: Params): Tensor {
  return scope(() => {
    const sums = rowsByLength([before, after]).map((pairs) => {
      const [[{ backend, shape }]] = pairs;
      const none = () => zeros(backend, [shape[0]]);
      return pairs.reduce(([moved, length], [p, q]) => squaredLengths(p, q, moved, length), [none(), none()]);
    });
    const total = (k: number) =>
      sum(
        concat(
          sums.map((each) => each[k]),
          0,
        ),
      );
    return sqrt(div(total(0), total(1)));
  });
}
