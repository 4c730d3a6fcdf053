import { definePart, readOptions } from '@flex/base';
import { z } from 'zod';
import type { Adapters } from '../adapters.ts';
import type { RegularizerContext } from '../regularizer.ts';
import { type FourierRegularizer, fourierSchema, weightedFourier } from './fourier.ts';
import { frequencyWeights } from './frequency-weights.ts';
import { permutation, startFor } from './signals.ts';

const schema = fourierSchema.safeExtend({
  /** Decides which bin has which weight, the same for all signals of one length. */
  frequencySeed: z.int().min(0).max(0xffffffff).default(0),
});

export type PermutedFrequenciesOptions = z.output<typeof schema>;

/**
 * L = Σ over parameters Σ_k c(π(k))·|ŵ_k|², c being what the Fourier penalty of the same options weighs its
 * bins with and π a permutation of them: the control in which some frequencies cost, but which ones means
 * nothing. The spectrum stays what it is. `order: permuted` is the other one: it shuffles the weights of the
 * adapter before the transform, and with them takes all meaning from frequency itself.
 */
export function permutedFrequencies(
  given: Partial<PermutedFrequenciesOptions> = {},
  start?: Adapters,
): FourierRegularizer {
  const { frequencySeed, ...options } = readOptions(schema, given, 'permuted-frequencies');
  const weights = (length: number) => {
    const ofBin = frequencyWeights(length, options);
    return Float64Array.from(permutation(ofBin.length, frequencySeed), (k) => ofBin[k]);
  };
  return weightedFourier(options, weights, start);
}

/** The regularizer `permuted-frequencies` of a run. */
export const permutedFrequenciesPart = definePart({
  name: 'permuted-frequencies',
  schema,
  make: (options, context: RegularizerContext) => permutedFrequencies(options, startFor(options, context)),
});
