import { definePart, readOptions } from '@flex/base';
import { reshape, rfft, type Tensor } from '@flex/tensor';
import { z } from 'zod';
import type { Adapters } from '../adapters.ts';
import type { RegularizerContext } from '../regularizer.ts';
import {
  binsOf,
  frequencySchema,
  frequencyWeights,
  multiplicity,
  thresholdBin,
} from './frequency-weights.ts';
import { type SignalGroup, signalGroups, signalRule, signalSchema, startFor } from './signals.ts';
import { type SpectralRegularizer, spectralPenalty } from './spectral-penalty.ts';

/** The options of the Fourier penalty, and of the controls that stand in for it. */
export const fourierSchema = z
  .strictObject({ ...frequencySchema.shape, ...signalSchema.shape })
  .refine(...signalRule);

export type FourierOptions = z.output<typeof fourierSchema>;

/** The Fourier penalty; `spectraOfAdapter` gives it for each tensor. */
export interface FourierRegularizer extends SpectralRegularizer {
  readonly options: FourierOptions;
}

/**
 * Spectra of signals of one length: the group's rows, each bin's real and imaginary part one after the
 * other.
 */
export interface Spectra {
  readonly length: number;
  readonly sources: SignalGroup['sources'];
  /** f32 [rows, 2·bins]. */
  readonly parts: Tensor;
}

/** `given` over the defaults. Throws ConfigError for a value that is out of range or misspelt. */
export function fourierOptions(given: Partial<FourierOptions> = {}): FourierOptions {
  return readOptions(fourierSchema, given, 'fourier');
}

/** The rfft of every signal of an adapter, one transform for each length. */
export function spectraOf(adapters: Adapters, options: FourierOptions, start?: Adapters): Spectra[] {
  return signalGroups(adapters, options, start).map((group) => groupSpectra(group, options));
}

/** The rfft of every signal of a group. */
export function groupSpectra({ signals, sources }: SignalGroup, options: FourierOptions): Spectra {
  const norm = options.norm === 'ortho' ? 'ortho' : 'backward';
  const [rows, length] = signals.shape;
  return { length, sources, parts: reshape(rfft(signals, { norm }), [rows, 2 * binsOf(length)]) };
}

/**
 * L = Σ over parameters Σ_k ρ(k)·|ŵ_k|² with ŵ = rfft(w), w each A and each B flattened, φ(k) = φ_low +
 * (φ_high − φ_low)·min(1, k/(n·T)) and ρ = 1 − φ: it costs to change fast along the flattened matrix. λ is
 * not applied. Every option has the default of the preset `corrected`.
 *
 * `start` is the adapter that scope `change` measures from. Throws ConfigError for wrong options.
 * Source: Narasimhan, FLeX: Fourier-based low-rank expansion for multilingual transfer, 2025.
 */
export function fourier(given: Partial<FourierOptions> = {}, start?: Adapters): FourierRegularizer {
  const options = fourierOptions(given);
  return weightedFourier(options, (length) => frequencyWeights(length, options), start);
}

/** L = Σ over parameters Σ_k c(k)·|ŵ_k|², `weights` giving c for the bins of signals of a length. */
export function weightedFourier(
  options: FourierOptions,
  weights: (length: number) => Float64Array,
  start?: Adapters,
): FourierRegularizer {
  const counts = (length: number, end: number) =>
    Float64Array.from({ length: binsOf(length) }, (_, k) =>
      k < end ? multiplicity(k, length, options.sides) : 0,
    );
  const regularizer = spectralPenalty({
    transform: (adapters) => spectraOf(adapters, options, start),
    costs: (length) => ofParts(weights(length)),
    counts: (length) => ofParts(counts(length, Infinity)),
    countsBelow: (length) => ofParts(counts(length, thresholdBin(length, options))),
  });
  return { options, ...regularizer };
}

/** The numbers of the bins for their real and imaginary parts, both of which have their bin's. */
function ofParts(perBin: Float64Array): Float64Array {
  const parts = new Float64Array(2 * perBin.length);
  for (let i = 0; i < parts.length; i++) parts[i] = perBin[i >> 1];
  return parts;
}

/** The regularizer `fourier` of a run. */
export const fourierPart = definePart({
  name: 'fourier',
  schema: fourierSchema,
  make: (options, context: RegularizerContext) => fourier(options, startFor(options, context)),
});
