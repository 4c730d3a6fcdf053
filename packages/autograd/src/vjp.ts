import { DTypeError, scope, show, type Tensor, zeros } from '@flex/tensor';
import { pullback, type Value } from './pullback.ts';
import { mapTree, type Tree, treeLeaves } from './tree.ts';

/**
 * f(params), and vᵀ·∂f/∂x for every tensor x of params: a tree of the same structure, zeros where f does not
 * depend on x. v f32 [..] has the value's shape. f may return `[value, …aux]` to hand out more.
 *
 * Works inside itself, so that gradients have gradients. What f makes is freed as soon as the backward pass
 * is done with it, unless returned. Throws ShapeError for a v of another shape, and an Error for an op that
 * has no gradient and for a tensor that stands at two places of params.
 */
export function vjp<const P extends Tree, R extends Value>(
  f: (params: P) => R,
  params: P,
  v?: Tensor,
): { readonly value: R; readonly grads: P } {
  return scope(() => {
    const xs = variables(params);
    const { value, grads } = pullback(() => f(params), xs, v);
    const gradOf = new Map(xs.map((x, i) => [x, grads[i] ?? zeros(x.backend, x.shape)]));
    return { value, grads: mapTree((x) => gradOf.get(x)!, params) };
  });
}

function variables(params: Tree): Tensor[] {
  const xs = treeLeaves(params);
  const whole = xs.find(({ dtype }) => dtype === 'i32' || dtype === 'u32');
  if (whole) throw new DTypeError(`a parameter must be of real numbers, got ${show(whole)}`);
  const twice = xs.find((x, i) => xs.indexOf(x) < i);
  if (twice) throw new Error(`one tensor, ${show(twice)}, stands at two places of the parameters`);
  return xs;
}
