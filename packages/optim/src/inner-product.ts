import { add, concat, mul, scope, sum, type Tensor, zeros } from '@flex/tensor';
import { rowSum, rowwise } from '@flex/tensor/kernel';
import type { Params } from './optimizer.ts';
import { rowsByLength } from './stacks.ts';

/** Σ x·y along rows, carried from a pair of tensors to the next: of one pair, and of three. */
const addProduct = rowwise('addProduct', ['row', 'row', 'cell'], (x, y, total) =>
  add(total, rowSum(mul(x, y))),
);
const addProducts = rowwise(
  'addProducts',
  ['row', 'row', 'row', 'row', 'row', 'row', 'cell'],
  (x1, y1, x2, y2, x3, y3, total) => add(total, rowSum(add(add(mul(x1, y1), mul(x2, y2)), mul(x3, y3)))),
);

/**
 * ⟨x, y⟩ = Σ x·y over all elements of the tensors of `ys` and those of the same names in `xs`: f32 [], on the
 * device, in a dispatch a stack and few more; stacks of one length share theirs, three and three.
 */
export function innerProduct(xs: Params, ys: Params): Tensor {
  return scope(() => sum(concat(rowsByLength([ys, xs]).map(rowProducts), 0)));
}

/** Σ x·y by rows, over pairs of matrices of one shape. */
function rowProducts(pairs: readonly (readonly Tensor[])[]): Tensor {
  const [[{ backend, shape }]] = pairs;
  let total = zeros(backend, [shape[0]]);
  for (let i = 0; i < pairs.length; ) {
    const [[x1, y1], [x2, y2] = [], [x3, y3] = []] = pairs.slice(i, i + 3);
    total = x3 ? addProducts(x1, y1, x2, y2, x3, y3, total) : addProduct(x1, y1, total);
    i += x3 ? 3 : 1;
  }
  return total;
}
