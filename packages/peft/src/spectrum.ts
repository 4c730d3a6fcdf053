import { scope } from '@flex/tensor';
import { type Adapters, flattenAdapters, lowRankOf } from './adapters.ts';
import { type FourierOptions, fourierOptions, spectraOf } from './regularizers/fourier.ts';
import { binsOf, frequencyWeights, multiplicity, thresholdBin } from './regularizers/frequency-weights.ts';

/** The frequency content of one parameter. */
export interface Spectrum {
  /** Bins of its rfft: ⌊N/2⌋ + 1. */
  readonly bins: number;
  /** Its Fourier penalty, before λ. */
  readonly penalty: number;
  /** Share of its power below bin n·T, and from there on; both 0 where it is all zero. */
  readonly below: number;
  readonly above: number;
  /** Share of its power in each of `bands` equal pieces of the spectrum, lowest first. */
  readonly bands: readonly number[];
}

export interface SpectrumOptions extends Partial<FourierOptions> {
  /** Pieces of the spectrum in `bands`; 32 unless given. */
  readonly bands?: number;
}

/**
 * The spectrum of each A and B by the name that `flattenAdapters` gives it, in the adapter's order, for the
 * penalty that the options describe. The transform runs on the adapter's backend, the sums on the host in
 * f64. Throws ConfigError for wrong options.
 */
export async function spectrumOf(
  adapters: Adapters,
  { bands = 32, ...given }: SpectrumOptions = {},
  start?: Adapters,
): Promise<Map<string, Spectrum>> {
  const options = fourierOptions(given);
  const found = new Map<string, Spectrum>();
  for (const { length, sources, parts } of scope(() => spectraOf(lowRankOf(adapters), options, start))) {
    const values = await parts.data();
    parts.dispose();
    const bins = binsOf(length);
    let row = 0;
    for (const { name, rows } of sources) {
      const power = new Float64Array(bins);
      for (const end = row + rows; row < end; row++) {
        for (let i = 0; i < 2 * bins; i++) power[i >> 1] += values[row * 2 * bins + i] ** 2;
      }
      found.set(name, summarize(power, length, options, bands));
    }
  }
  const order = [...flattenAdapters(adapters).keys()].filter((name) => found.has(name));
  return new Map([...order, ...found.keys()].map((name) => [name, found.get(name)!]));
}

function summarize(power: Float64Array, length: number, options: FourierOptions, bands: number): Spectrum {
  const bins = power.length;
  const weights = frequencyWeights(length, options);
  const end = thresholdBin(length, options);
  const inBand = new Array<number>(bands).fill(0);
  let [penalty, below, total] = [0, 0, 0];
  power.forEach((p, k) => {
    const counted = p * multiplicity(k, length, options.sides);
    penalty += weights[k] * p;
    total += counted;
    if (k < end) below += counted;
    inBand[Math.floor((k * bands) / bins)] += counted;
  });
  const share = (part: number) => (total === 0 ? 0 : part / total);
  return { bins, penalty, below: share(below), above: share(total - below), bands: inBand.map(share) };
}
