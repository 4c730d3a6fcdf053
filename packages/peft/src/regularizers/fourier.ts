import { definePart, readOptions } from '@flex/base';
import { add, reshape, rfft, scope, sum, type Tensor, tensor } from '@flex/tensor';
import { z } from 'zod';
import type { Adapters } from '../adapters.ts';
import type { Regularizer, RegularizerContext } from '../regularizer.ts';
import {
  binsOf,
  frequencySchema,
  frequencyWeights,
  multiplicity,
  thresholdBin,
} from './frequency-weights.ts';
import { type SignalGroup, signalGroups, signalSchema } from './signals.ts';
import { weightedSquare } from './weighted-square.ts';

const schema = z
  .strictObject({ ...frequencySchema.shape, ...signalSchema.shape })
  .refine(({ scope, order }) => scope !== 'concatenated' || order !== 'each-row', {
    error: 'has order each-row, which leaves no one signal for scope concatenated',
  });

export type FourierOptions = z.output<typeof schema>;

/** The Fourier penalty; `spectrumOf` gives it for each tensor. */
export interface FourierRegularizer extends Regularizer {
  readonly options: FourierOptions;
  /** `share_below`: the share of the power of all signals that is below bin n·T; 0 where there is none. */
  diagnostics(adapters: Adapters): Promise<{ share_below: number }>;
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
  return readOptions(schema, given, 'fourier');
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
  const penaltyWeights = cached((length) => frequencyWeights(length, options));
  const countWeights = cached((length) => multiplicities(length, options, Infinity));
  const belowWeights = cached((length) => multiplicities(length, options, thresholdBin(length, options)));
  const total = (spectra: readonly Spectra[], weights: (length: number) => Float64Array) =>
    spectra.map((s) => sum(weigh(s, weights))).reduce(add);
  return {
    options,
    penalty: (adapters) => scope(() => total(spectraOf(adapters, options, start), penaltyWeights)),
    async diagnostics(adapters) {
      const [below, all] = scope(() => {
        const spectra = spectraOf(adapters, options, start);
        return [total(spectra, belowWeights), total(spectra, countWeights)];
      });
      const [low, whole] = [await below.item(), await all.item()];
      below.dispose();
      all.dispose();
      return { share_below: whole === 0 ? 0 : low / whole };
    },
  };
}

/**
 * c·x² of each real and imaginary part, of which both of a bin have the bin's weight c: f32 [rows, 2·bins].
 */
function weigh({ parts, length }: Spectra, weights: (length: number) => Float64Array): Tensor {
  const perBin = weights(length);
  const perPart = Float64Array.from({ length: 2 * perBin.length }, (_, i) => perBin[i >> 1]);
  return weightedSquare(tensor(parts.backend, perPart, [perPart.length]), parts);
}

/** How often each bin below `end` counts; 0 from there on. */
function multiplicities(length: number, { sides }: FourierOptions, end: number): Float64Array {
  return Float64Array.from({ length: binsOf(length) }, (_, k) =>
    k < end ? multiplicity(k, length, sides) : 0,
  );
}

function cached(f: (length: number) => Float64Array): (length: number) => Float64Array {
  const known = new Map<number, Float64Array>();
  return (length) => {
    const found = known.get(length) ?? f(length);
    known.set(length, found);
    return found;
  };
}

/** The regularizer `fourier` of a run. */
export const fourierPart = definePart({
  name: 'fourier',
  schema,
  make: (options, { start }: RegularizerContext) =>
    fourier(options, options.scope === 'change' ? start() : undefined),
});
