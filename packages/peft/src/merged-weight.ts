import {
  addScaled,
  cast,
  div,
  matmul,
  mul,
  reshape,
  rowSum,
  scope,
  sqrt,
  square,
  type Tensor,
} from '@flex/tensor';
import type { AdapterPair } from './adapters.ts';

/**
 * The weight that does what W and a module's adapter do: W + s·B·A or, with DoRA's magnitude m, that with
 * each row i brought to the norm mᵢ. W f32 or f16 [out, in] → f32 [out, in]. A bias of the adapter is not in
 * it.
 */
export function mergedWeight(weight: Tensor, { a, b, magnitude }: AdapterPair, scale: number): Tensor {
  return scope(() => {
    const sum = addScaled(cast(weight, 'f32'), matmul(b, a), scale);
    if (!magnitude) return sum;
    const norms = sqrt(rowSum(square(sum))); // [out, 1]
    return mul(sum, div(reshape(magnitude, norms.shape), norms));
  });
}
