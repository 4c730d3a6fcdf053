import type { Tensor } from '@flex/tensor';
import { innerProduct, type Tree } from './tree.ts';
import { grad } from './value-and-grad.ts';

/** H·v of the number f at params, the gradient of ⟨∇f, v⟩; v and H·v are trees of the structure of params. */
export function hvp<const P extends Tree>(f: (params: P) => Tensor, params: P, v: P): P {
  return grad((at) => innerProduct(grad(f, at), v), params);
}
