import { z } from 'zod';

/** How a signal's frequencies are weighed. */
export const frequencySchema = z.strictObject({
  /** T: the share of the spectrum at which φ has reached phiHigh. */
  threshold: z.number().positive().max(1).default(0.5),
  /** φ at frequency 0. */
  phiLow: z.number().min(0).max(1).default(1),
  /** φ from T on. */
  phiHigh: z.number().min(0).max(1).default(0.1),
  /** Scale of the transform: 1/√N, none, or none and the mean over the bins counted in place of their sum. */
  norm: z.enum(['ortho', 'backward', 'mean']).default('ortho'),
  /** What T is a share of: the ⌊N/2⌋ + 1 bins of the rfft, or the N samples of the signal. */
  n: z.enum(['bins', 'length']).default('bins'),
  /** The weight of bin k. */
  rho: z.enum(['1-phi', 'phi']).default('1-phi'),
  /** `two` counts the bins between 0 and N/2 twice, for the half of the spectrum that the rfft leaves out. */
  sides: z.enum(['one', 'two']).default('one'),
  /** φ falls as a line up to T, or at once at T. */
  ramp: z.enum(['ramp', 'step']).default('ramp'),
});

export type FrequencyOptions = z.output<typeof frequencySchema>;

/** The options that say how ρ runs over the bins. */
export const rhoKeys = { threshold: true, phiLow: true, phiHigh: true, rho: true, ramp: true } as const;
export type RhoOptions = Pick<FrequencyOptions, keyof typeof rhoKeys>;

/**
 * ρ at bin k, where φ has reached φ_high at bin `end`: φ(k) = φ_low + (φ_high − φ_low)·min(1, k/end), ρ = 1 − φ
 * or φ.
 */
export function rhoAt(k: number, end: number, { phiLow, phiHigh, rho, ramp }: RhoOptions): number {
  const share = ramp === 'ramp' ? Math.min(1, k / end) : k < end ? 0 : 1;
  const phi = phiLow + (phiHigh - phiLow) * share;
  return rho === 'phi' ? phi : 1 - phi;
}

/** Bins of the rfft of N samples. */
export function binsOf(length: number): number {
  return Math.floor(length / 2) + 1;
}

/** n·T: the bin, not always a whole number, at which φ has reached phiHigh. */
export function thresholdBin(
  length: number,
  { threshold, n }: Pick<FrequencyOptions, 'threshold' | 'n'>,
): number {
  return threshold * (n === 'bins' ? binsOf(length) : length);
}

/** How often bin k of the rfft of N samples stands in the spectrum that is counted. */
export function multiplicity(k: number, length: number, sides: FrequencyOptions['sides']): number {
  return sides === 'two' && k > 0 && 2 * k !== length ? 2 : 1;
}

/**
 * c·m(k)·ρ(k) for the bins k of the rfft of N samples, in f64: ρ with its end at bin n·T, m(k) how often the
 * bin counts, and c = 1/Σ m for norm `mean`, else 1.
 * Source: Narasimhan, FLeX, 2025, the frequency penalty.
 */
export function frequencyWeights(length: number, options: FrequencyOptions): Float64Array {
  const { sides, norm } = options;
  const end = thresholdBin(length, options);
  const bins = binsOf(length);
  // NUMERICS: with `mean` and two sides the mean is over the N bins of the whole spectrum.
  const counted = norm === 'mean' ? (sides === 'two' ? length : bins) : 1;
  // Millions of bins: Float64Array.from takes several times as long.
  const weights = new Float64Array(bins);
  for (let k = 0; k < bins; k++) {
    weights[k] = (rhoAt(k, end, options) * multiplicity(k, length, sides)) / counted;
  }
  return weights;
}
