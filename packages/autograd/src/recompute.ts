import { scope, type Tensor } from '@flex/tensor';
import { applyAll, type CompositeOp, isRecording, withoutRecorders } from '@flex/tensor/kernel';
import { type Tree, treeLeaves } from './tree.ts';

/**
 * f(params), recomputed in the backward pass instead of kept: memory of one value for the price of a second
 * forward. `params` must hold every tensor that f uses and that a gradient may be asked for. JAX calls it
 * checkpoint.
 */
export function recompute<const P extends Tree>(f: (params: P) => Tensor, params: P): Tensor {
  const inputs = treeLeaves(params);
  if (!isRecording() || inputs.length === 0) return withoutRecorders(() => scope(() => f(params)));
  const op: CompositeOp<object> = {
    kind: 'composite',
    name: 'recompute',
    infer: () => [],
    vjp: 'composed',
    composed: () => f(params),
    samples: [],
  };
  return applyAll(op, inputs, {})[0];
}
