import { add, cast, matmul, mul, permute, rowSum, scope, sqrt, square, type Tensor } from '@flex/tensor';
import { elementwise } from '@flex/tensor/kernel';
import type { AdapterPair } from './adapters.ts';

/** ‖Wᵢ‖² of each row. W f32 or f16 [out, in] → f32 [out, 1]. */
export function rowSquares(weight: Tensor): Tensor {
  return scope(() => rowSum(square(cast(weight, 'f32'))));
}

/** b·(2s·wa + s²·baa): what s·B·A adds to the squares of a row of W, before the sum over the rank. */
const crossTerms = elementwise(
  'doraCrossTerms',
  (b, wa, baa, scale) => mul(b, add(mul(mul(2, scale), wa), mul(mul(scale, scale), baa))),
  { numbers: [0.5], known: [['[1, 2] [3, 4] [5, 6] 2', [32, 80]]] },
);

/**
 * ‖Wᵢ + s·Bᵢ·A‖ of each row, from `squares` = ‖Wᵢ‖² f32 [out, 1] and `aw` = A·Wᵀ f32 [r, out]: f32 [out, 1].
 *
 * NUMERICS: ‖Wᵢ‖² + 2s·Bᵢ·(A·Wᵢᵀ) + s²·Bᵢ·(A·Aᵀ)·Bᵢᵀ, so that no matrix of W's size is made. It is ‖Wᵢ‖ to
 * the bit where B = 0.
 */
export function adaptedNorms({ a, b }: AdapterPair, scale: number, squares: Tensor, aw: Tensor): Tensor {
  const baa = matmul(b, matmul(a, a, { transposeB: true }));
  return sqrt(add(squares, rowSum(crossTerms(b, permute(aw, [1, 0]), baa, scale))));
}
