import { ConfigError } from '@flex/base';

/** How a signal's frequencies are weighed. Keys and names are those of a run's configuration. */
export interface FrequencyOptions {
  /** T: the share of the spectrum at which φ has reached phi_high; above 0, at most 1. */
  readonly threshold: number;
  /** φ at frequency 0, in [0, 1]. */
  readonly phi_low: number;
  /** φ from T on, in [0, 1]. */
  readonly phi_high: number;
  /** Scale of the transform: 1/√N, none, or none and the mean over the bins counted in place of their sum. */
  readonly norm: 'ortho' | 'backward' | 'mean';
  /** What T is a share of: the ⌊N/2⌋ + 1 bins of the rfft, or the N samples of the signal. */
  readonly n: 'bins' | 'length';
  readonly rho: '1-phi' | 'phi';
  /** `two` counts the bins between 0 and N/2 twice, for the half of the spectrum that the rfft leaves out. */
  readonly sides: 'one' | 'two';
  /** φ falls as a line up to T, or at once at T. */
  readonly ramp: 'ramp' | 'step';
}

export const frequencyDefaults: FrequencyOptions = {
  threshold: 0.5,
  phi_low: 1,
  phi_high: 0.1,
  norm: 'ortho',
  n: 'bins',
  rho: '1-phi',
  sides: 'one',
  ramp: 'ramp',
};

const choices = {
  norm: ['ortho', 'backward', 'mean'],
  n: ['bins', 'length'],
  rho: ['1-phi', 'phi'],
  sides: ['one', 'two'],
  ramp: ['ramp', 'step'],
} as const;

/** Bins of the rfft of N samples. */
export function binsOf(length: number): number {
  return Math.floor(length / 2) + 1;
}

/** n·T: the bin, not always a whole number, at which φ has reached phi_high. */
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
 * c·m(k)·ρ(k) for the bins k of the rfft of N samples, in f64: φ(k) = φ_low + (φ_high − φ_low)·min(1,
 * k/(n·T)), ρ = 1 − φ or φ, m(k) how often the bin counts, and c = 1/Σ m for norm `mean`, else 1.
 * Source: Narasimhan, FLeX, 2025, the frequency penalty.
 */
export function frequencyWeights(length: number, options: FrequencyOptions): Float64Array {
  const { phi_low, phi_high, rho, sides, ramp, norm } = options;
  const end = thresholdBin(length, options);
  const bins = binsOf(length);
  // NUMERICS: with `mean` and two sides the mean is over the N bins of the whole spectrum.
  const counted = norm === 'mean' ? (sides === 'two' ? length : bins) : 1;
  return Float64Array.from({ length: bins }, (_, k) => {
    const share = ramp === 'ramp' ? Math.min(1, k / end) : k < end ? 0 : 1;
    const phi = phi_low + (phi_high - phi_low) * share;
    return ((rho === 'phi' ? phi : 1 - phi) * multiplicity(k, length, sides)) / counted;
  });
}

/** Throws ConfigError for an option that is out of range or misspelt. */
export function checkFrequencyOptions(options: FrequencyOptions): void {
  const fail = (key: string, needs: string, came: unknown): never => {
    throw new ConfigError(`fourier: ${key} must be ${needs}, got ${JSON.stringify(came)}`);
  };
  const { threshold } = options;
  if (!(threshold > 0 && threshold <= 1)) fail('threshold', 'above 0 and at most 1', threshold);
  for (const key of ['phi_low', 'phi_high'] as const) {
    if (!(options[key] >= 0 && options[key] <= 1)) fail(key, 'in [0, 1]', options[key]);
  }
  for (const [key, known] of Object.entries(choices)) {
    const came = options[key as keyof typeof choices];
    if (!(known as readonly string[]).includes(came)) fail(key, `one of ${known.join(', ')}`, came);
  }
}
