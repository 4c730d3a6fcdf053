import { ShapeError } from '../errors.ts';
import { operand, reduced } from '../expr.ts';
import { known } from '../op.ts';
import { reductionOp } from '../reduction.ts';
import { show } from '../shape.ts';
import { apply, type Tensor, withoutRecorders } from '../tensor.ts';
import { div, mul } from './arithmetic.ts';
import { equal } from './comparison.ts';
import { reshape } from './reshape.ts';
import { type ReduceOptions, reduceRuns, sum } from './sum.ts';

const maxOp = reductionOp('max', reduced('rowMax', operand(0)), {
  vjp: ([g], [x], [y]) => [
    () => {
      const along = [x.shape[0], 1, x.shape[2]];
      // Who is largest is constant between ties, so the share is not differentiated again.
      const share = withoutRecorders(() => {
        const hits = equal(x, reshape(y, along));
        return div(hits, sum(hits, { axes: [1], keepDims: true }));
      });
      return mul(share, reshape(g, along));
    },
  ],
  known: [known('[[[1], [2]], [[-3], [-4]]]', [2, -3], {}), known('[[[1, 4], [3, 2]]]', [3, 4], {})],
});

/**
 * The largest over the axes. f32 [..] → f32 [..]. Equal ones share the gradient evenly, as in torch.amax.
 * Throws ShapeError for an axis that is not there or has no elements.
 */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduceRuns('max', x, options, (block) => {
    if (block.shape[1] === 0) throw new ShapeError(`max: needs an axis with elements, got ${show(x)}`);
    return apply(maxOp, [block], {});
  });
}
