import { treeLeaves } from '@flex/autograd';
import { add, scope, square, sum } from '@flex/tensor';
import type { Regularizer } from '../regularizer.ts';

/** Σ w² over all elements of all adapter tensors: the control for a penalty that only shrinks them. */
export function l2(): Regularizer {
  return {
    name: 'l2',
    options: {},
    penalty: (adapters) =>
      scope(() =>
        treeLeaves(adapters)
          .map((w) => sum(square(w)))
          .reduce(add),
      ),
  };
}
