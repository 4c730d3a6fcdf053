import { addScaled, cast, matmul, scope, type Tensor } from '@flex/tensor';
import type { AdapterPair } from './adapters.ts';

/** W + s·B·A. W f32 or f16 [out, in] → f32 [out, in]. */
export function mergedWeight(weight: Tensor, { a, b }: Pick<AdapterPair, 'a' | 'b'>, scale: number): Tensor {
  return scope(() => addScaled(cast(weight, 'f32'), matmul(b, a), scale));
}
