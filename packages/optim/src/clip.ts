import { ConfigError } from '@flex/base';
import { add, div, greater, mul, scope, sqrt, type Tensor, where } from '@flex/tensor';
import { elementwise } from '@flex/tensor/kernel';
import { innerProduct } from './inner-product.ts';
import type { Params } from './optimizer.ts';
import { mapStacks } from './stacks.ts';

/** min(1, most / (norm + 1e-6)); a norm that is no number stays none. */
const coefficientOf = elementwise(
  'clipCoefficient',
  (norm, most) => {
    // NUMERICS: torch's 1e-6, so that gradients just at the limit shrink by a millionth as they do there.
    const ratio = div(most, add(norm, 1e-6));
    return where(greater(ratio, 1), 1, ratio);
  },
  {
    numbers: [1],
    domains: [{ kind: 'real', min: 0, max: 2 }],
    known: [['[0.5, 4] 2', [1, 0.5]]],
  },
);

/**
 * √Σ g² over all elements of all gradients: f32 [], on the device. Throws ConfigError when there are none.
 */
export function globalNorm(grads: Params): Tensor {
  if (grads.size === 0) throw new ConfigError('globalNorm: needs at least one gradient, got none');
  return scope(() => sqrt(innerProduct(grads, grads)));
}

/**
 * g·min(1, maxNorm / (norm + 1e-6)) for every gradient, and norm = globalNorm(grads) before it: f32 [].
 * As torch.nn.utils.clip_grad_norm_, without reading back. Throws ConfigError when maxNorm is not above 0.
 */
export function clipByGlobalNorm(
  grads: Params,
  maxNorm: number,
): { grads: Map<string, Tensor>; norm: Tensor } {
  if (!(maxNorm > 0)) throw new ConfigError(`clipByGlobalNorm: maxNorm must be above 0, got ${maxNorm}`);
  return scope(() => {
    const norm = globalNorm(grads);
    const coefficient = coefficientOf(norm, maxNorm);
    return { grads: mapStacks([grads], ([g]) => mul(g, coefficient)), norm };
  });
}
