import { ConfigError } from '@flex/base';
import { type Backend, scope, tensor } from '@flex/tensor';
import { type Adapters, flattenAdapters, lowRankOf } from './adapters.ts';
import { type LowRankProduct, reduceProduct, type Vectors } from './low-rank-product.ts';
import { type FourierOptions, fourierOptions, groupSpectra } from './regularizers/fourier.ts';
import { binsOf, frequencyWeights, multiplicity, thresholdBin } from './regularizers/frequency-weights.ts';
import { reorder } from './regularizers/reorder.ts';
import { permutation, type SignalGroup, signalGroups } from './regularizers/signals.ts';

/** The frequency content of one parameter, or of several together. */
export interface Spectrum {
  /** Bins of its rfft: ⌊N/2⌋ + 1; of several, of all. */
  readonly bins: number;
  /** Σ |ŵ_k|² over the bins counted: with norm `ortho` and two sides Σ w². */
  readonly power: number;
  /** Its Fourier penalty, before λ. */
  readonly penalty: number;
  /** Share of its power below bin n·T, and from there on; both 0 where it is all zero. */
  readonly below: number;
  readonly above: number;
  /** Share of its power in each of `bands` equal pieces of the spectrum, lowest first. */
  readonly bands: readonly number[];
  /** What its numbers have in an order that means nothing; null where no permutation was drawn. */
  readonly noise: Noise | null;
}

/**
 * 95 % bands of the shares of a signal whose indices are permuted at random. A share whose signal has no
 * order lies outside its band with a probability of 5 %, above and below equally. Frequency 0 does not move.
 * Source: Dwass, Modified randomization tests for nonparametric hypotheses, 1957.
 */
export interface Noise {
  readonly below: Interval;
  readonly bands: readonly Interval[];
}

export type Interval = readonly [low: number, high: number];

export interface SpectrumOptions extends Partial<FourierOptions> {
  /** Pieces of the spectrum in `bands`; 32 unless given. */
  readonly bands?: number;
  /** Permutations that `noise` is drawn from, 0 (unless given) or 40·m − 1; draw i has the seed i. */
  readonly permutations?: number;
}

/** Spectra by name, and those of several together, their powers added, by what they are. */
export interface SpectrumSet {
  readonly each: ReadonlyMap<string, Spectrum>;
  readonly totals: ReadonlyMap<string, Spectrum>;
}

/**
 * The spectrum of each tensor by the name that `flattenAdapters` gives it, in the adapter's order, for the
 * penalty that the options describe; in `totals` of all `A` and all `B`, or of all that another scope has. The
 * transform runs on the adapter's backend, the sums on the host in f64. Throws ConfigError for wrong options.
 */
export async function spectraOfAdapter(
  adapters: Adapters,
  given: SpectrumOptions = {},
  start?: Adapters,
): Promise<SpectrumSet> {
  const options = readSpectrumOptions(given);
  const pairs = lowRankOf(adapters);
  const found = await measure(() => signalGroups(pairs, options, start), options);
  const order = [...flattenAdapters(pairs).keys()].filter((name) => found.has(name));
  const sorted = new Map([...order, ...found.keys()].map((name) => [name, found.get(name)!]));
  const isTensor = options.scope !== 'product' && options.scope !== 'concatenated';
  return spectrumSet(sorted, (name) => (isTensor ? name.slice(-1).toUpperCase() : options.scope));
}

/** The frequency content of products s·B·A by module path. */
export interface ProductSpectra {
  /** Each row a signal: the power by frequency along the inputs; in `totals`, `inputs`. */
  readonly inputs: SpectrumSet;
  /** Each column a signal: along the outputs; in `totals`, `outputs`. */
  readonly outputs: SpectrumSet;
  /** The largest first. */
  readonly singularValues: ReadonlyMap<string, readonly number[]>;
}

/**
 * The spectra of products: the two margins of |ΔŴ|², ΔŴ the two-dimensional transform of ΔW = s·B·A, exact
 * and at the cost of transforming A and B once more. Along the inputs that is the Fourier penalty's power for
 * scope `product` and order `each-row`; of the flattened product, a signal of in·out numbers,
 * `spectraOfAdapter` with scope `product` makes the spectrum. Noise permutes the inputs, or the outputs, of ΔW.
 * Throws ConfigError for wrong options.
 */
export async function productSpectra(
  backend: Backend,
  products: ReadonlyMap<string, LowRankProduct>,
  given: SpectrumOptions = {},
): Promise<ProductSpectra> {
  const options = readSpectrumOptions(given);
  const reduced = [...products].map(([path, product]) => [path, reduceProduct(product)] as const);
  const along = async (name: 'inputs' | 'outputs', of: 'rows' | 'columns') => {
    const vectors = new Map(reduced.map(([path, product]) => [path, product[of]]));
    const found = await measure(() => vectorGroups(backend, vectors), options);
    return spectrumSet(new Map([...vectors.keys()].map((path) => [path, found.get(path)!])), () => name);
  };
  return {
    inputs: await along('inputs', 'rows'),
    outputs: await along('outputs', 'columns'),
    singularValues: new Map(reduced.map(([path, { singularValues }]) => [path, singularValues])),
  };
}

type ReadOptions = FourierOptions & { readonly bands: number; readonly permutations: number };

function readSpectrumOptions({ bands = 32, permutations = 0, ...given }: SpectrumOptions): ReadOptions {
  if (!Number.isInteger(permutations) || permutations < 0 || (permutations > 0 && permutations % 40 !== 39)) {
    throw new ConfigError(
      `permutations must be 0 or one less than a multiple of 40, as 39 or 199; it is ${permutations}`,
    );
  }
  return { ...fourierOptions(given), bands, permutations };
}

/** Vectors as groups of signals, those of one length together. */
function vectorGroups(backend: Backend, vectors: ReadonlyMap<string, Vectors>): SignalGroup[] {
  const lengths = new Set([...vectors.values()].map(([first]) => first.length));
  return [...lengths].map((length) => {
    const group = [...vectors].filter(([, [first]]) => first.length === length);
    const rows = group.flatMap(([, own]) => own);
    const data = new Float64Array(rows.length * length);
    rows.forEach((row, i) => {
      data.set(row, i * length);
    });
    const sources = group.map(([name, own]) => ({ name, rows: own.length }));
    return { signals: tensor(backend, data, [rows.length, length]), sources };
  });
}

/** Power and what is made of it by adding; in f64. */
interface Power {
  readonly penalty: number;
  readonly below: number;
  readonly total: number;
  readonly bands: Float64Array;
}

interface Measured {
  readonly bins: number;
  readonly observed: Power;
  /** With the indices permuted, draw after draw. */
  readonly permuted: Power[];
}

const noiseStream = 0x5f10;

async function measure(
  groups: () => readonly SignalGroup[],
  options: ReadOptions,
): Promise<Map<string, Measured>> {
  const found = new Map<string, Measured>();
  for (const [name, bins, observed] of await powersOf(groups, options)) {
    found.set(name, { bins, observed, permuted: [] });
  }
  for (let draw = 0; draw < options.permutations; draw++) {
    const shuffle = ({ signals, sources }: SignalGroup) => {
      const places = permutation(signals.shape[1], draw, noiseStream);
      return { signals: reorder(signals, places), sources };
    };
    const powers = await powersOf(() => groups().map(shuffle), options);
    for (const [name, , power] of powers) found.get(name)!.permuted.push(power);
  }
  return found;
}

/** The power of each source, its rows added. */
async function powersOf(
  groups: () => readonly SignalGroup[],
  options: ReadOptions,
): Promise<(readonly [name: string, bins: number, power: Power])[]> {
  const found: [string, number, Power][] = [];
  for (const { length, sources, parts } of scope(() => groups().map((g) => groupSpectra(g, options)))) {
    const values = await parts.data();
    parts.dispose();
    const bins = binsOf(length);
    const sum = powerSums(length, options);
    let row = 0;
    for (const { name, rows } of sources) {
      const power = new Float64Array(bins);
      for (const end = row + rows; row < end; row++) {
        for (let i = 0; i < 2 * bins; i++) power[i >> 1] += values[row * 2 * bins + i] ** 2;
      }
      found.push([name, bins, sum(power)]);
    }
  }
  return found;
}

/** What adds up the bins of a signal of this length. */
function powerSums(length: number, options: ReadOptions): (power: Float64Array) => Power {
  const weights = frequencyWeights(length, options);
  const end = thresholdBin(length, options);
  return (power) => {
    const bands = new Float64Array(options.bands);
    let [penalty, below, total] = [0, 0, 0];
    power.forEach((p, k) => {
      const counted = p * multiplicity(k, length, options.sides);
      penalty += weights[k] * p;
      total += counted;
      if (k < end) below += counted;
      bands[Math.floor((k * bands.length) / power.length)] += counted;
    });
    return { penalty, below, total, bands };
  };
}

function spectrumSet(found: ReadonlyMap<string, Measured>, kindOf: (name: string) => string): SpectrumSet {
  const kinds = new Set([...found.keys()].map(kindOf));
  const ofKind = (kind: string) => [...found].filter(([name]) => kindOf(name) === kind).map(([, one]) => one);
  return {
    each: new Map([...found].map(([name, one]) => [name, summarize([one])])),
    totals: new Map([...kinds].map((kind) => [kind, summarize(ofKind(kind))])),
  };
}

function summarize(all: readonly Measured[]): Spectrum {
  const { penalty, ...observed } = added(all.map(({ observed }) => observed));
  const { power, below, above, bands } = sharesOf(observed);
  const draws = all[0].permuted.map((_, i) => sharesOf(added(all.map(({ permuted }) => permuted[i]))));
  const band = (of: (shares: (typeof draws)[number]) => number) => central95(draws.map(of));
  return {
    bins: all.reduce((sum, { bins }) => sum + bins, 0),
    power,
    penalty,
    below,
    above,
    bands,
    noise:
      draws.length === 0
        ? null
        : { below: band((one) => one.below), bands: bands.map((_, i) => band((one) => one.bands[i])) },
  };
}

function added(powers: readonly Power[]): Power {
  return powers.reduce((sum, one) => ({
    penalty: sum.penalty + one.penalty,
    below: sum.below + one.below,
    total: sum.total + one.total,
    bands: sum.bands.map((x, i) => x + one.bands[i]),
  }));
}

function sharesOf({ below, total, bands }: Omit<Power, 'penalty'>) {
  const share = (part: number) => (total === 0 ? 0 : part / total);
  return {
    power: total,
    below: share(below),
    above: share(total - below),
    bands: Array.from(bands, share),
  };
}

/** Of 40·m − 1 draws the m-th smallest and the m-th largest: one more lies outside in 5 % of cases. */
function central95(draws: readonly number[]): Interval {
  const sorted = [...draws].sort((x, y) => x - y);
  const m = (draws.length + 1) / 40;
  return [sorted[m - 1], sorted[draws.length - m]];
}
