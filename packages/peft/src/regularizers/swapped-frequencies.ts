import { definePart } from '@flex/base';
import type { Adapters } from '../adapters.ts';
import type { RegularizerContext } from '../regularizer.ts';
import {
  type FourierOptions,
  type FourierRegularizer,
  fourierOptions,
  fourierSchema,
  weightedFourier,
} from './fourier.ts';
import { frequencyWeights } from './frequency-weights.ts';
import { startFor } from './signals.ts';

/**
 * L = Σ over parameters Σ_k c(K − 1 − k)·|ŵ_k|², c being what the Fourier penalty of the same options weighs
 * its K bins with: the control in which the low frequencies cost and the high ones are free. The weights are
 * the same numbers the other way about, so that the same white noise costs as much. (`rho: phi` is 1 − ρ, which
 * has another sum.)
 */
export function swappedFrequencies(
  given: Partial<FourierOptions> = {},
  start?: Adapters,
): FourierRegularizer {
  const options = fourierOptions(given);
  return weightedFourier(options, (length) => frequencyWeights(length, options).reverse(), start);
}

/** The regularizer `swapped-frequencies` of a run. */
export const swappedFrequenciesPart = definePart({
  name: 'swapped-frequencies',
  schema: fourierSchema,
  make: (options, context: RegularizerContext) => swappedFrequencies(options, startFor(options, context)),
});
