import { scope, type Tensor, zeros } from '@flex/tensor';
import { innerProduct, type Tree } from './tree.ts';
import { grad } from './value-and-grad.ts';
import { vjp } from './vjp.ts';

/**
 * f(params), and J·v, the derivative of f along v, a tree of the structure of params: f32 [..] of the value's
 * shape. Since uᵀ·J is linear in u, J·v is the gradient of ⟨uᵀ·J, v⟩ in u. Runs f twice.
 */
export function jvp<const P extends Tree>(
  f: (params: P) => Tensor,
  params: P,
  v: P,
): { readonly value: Tensor; readonly tangent: Tensor } {
  return scope(() => {
    const value = f(params);
    const u = zeros(value.backend, value.shape);
    return { value, tangent: grad((at: Tensor) => innerProduct(vjp(f, params, at).grads, v), u) };
  });
}
