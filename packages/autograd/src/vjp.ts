import { DTypeError, scope, show, type Tensor, zeros } from '@flex/tensor';
import { apply, isRecording, twin, type ViewOp } from '@flex/tensor/kernel';
import { pullback, type Value } from './pullback.ts';
import { mapTree, type Tree, treeLeaves } from './tree.ts';

/**
 * f(params), and vᵀ·∂f/∂x for every tensor x of params: a tree of the same structure, zeros where f does not
 * depend on x. v f32 [..] has the value's shape; left out, f must give one number and v is 1. f may return
 * `[value, …aux]` to hand out more.
 *
 * f is differentiated in what it is called with: all else that it uses is constant, also where that is a
 * tensor of params. Works inside itself, so that gradients have gradients. What f makes is freed as soon as
 * the backward pass is done with it, unless returned. Throws ShapeError for a v of another shape, DTypeError
 * for whole numbers in params, and an Error for an op that has no gradient.
 */
export function vjp<const P extends Tree, R extends Value>(
  f: (params: P) => R,
  params: P,
  v?: Tensor,
): { readonly value: R; readonly grads: P } {
  return scope(() => {
    const variables = mapTree(variable, params);
    const xs = treeLeaves(variables);
    const { value, grads } = pullback(() => f(variables), xs, v);
    const gradOf = new Map(xs.map((x, i) => [x, grads[i]]));
    // Gradients are tensors of their own, though add hands one on to both its inputs and v may be one.
    const given = new Set(v ? [v] : []);
    const single = (g: Tensor): Tensor => {
      if (!isRecording() && given.has(g)) return twin(g);
      given.add(g);
      return g;
    };
    return { value, grads: mapTree((x) => single(gradOf.get(x) ?? zeros(x.backend, x.shape)), variables) };
  });
}

const variableOp: ViewOp<object> = {
  kind: 'view',
  name: 'variable',
  infer: ([x]) => x,
  offset: () => 0,
  vjp: ([g]) => [() => g],
  samples: [],
};

/** Another tensor of the same memory, which nothing else depends on. */
function variable(x: Tensor): Tensor {
  if (x.dtype === 'i32' || x.dtype === 'u32') {
    throw new DTypeError(`a parameter must be of real numbers, got ${show(x)}`);
  }
  return apply(variableOp, [x], {});
}
