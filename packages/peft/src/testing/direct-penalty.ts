import { type Backend, type Tensor, tensor } from '@flex/tensor';
import { type AdapterPair, type Adapters, flattenAdapters } from '../adapters.ts';
import type { FourierOptions } from '../regularizers/fourier.ts';
import { permutation, type SignalOptions } from '../regularizers/signals.ts';

// The penalties as textbooks define them: sums in f64, one number at a time.

/** The tensors of an adapter, downloaded. */
export type Numbers = ReadonlyMap<string, { rows: number; columns: number; data: readonly number[] }>;

/** Two modules with lengths that are odd, even and equal. */
export function someAdapter(backend: Backend, phase = 0): Map<string, AdapterPair> {
  const value = (i: number) => Math.fround(Math.sin(12.9898 * i + phase) + 0.3 * Math.cos(i));
  const draw = (k: number, rows: number, columns: number): Tensor => {
    const data = Array.from({ length: rows * columns }, (_, i) => value(i + 50 * k + 1));
    return tensor(backend, data, [rows, columns]);
  };
  return new Map([
    ['m.0.up', { a: draw(0, 3, 5), b: draw(1, 6, 3) }],
    ['m.0.down', { a: draw(2, 3, 6), b: draw(3, 5, 3) }],
  ]);
}

export async function download(adapters: Adapters): Promise<Numbers> {
  const found = new Map<string, { rows: number; columns: number; data: number[] }>();
  for (const [name, t] of flattenAdapters(adapters)) {
    found.set(name, { rows: t.shape[0], columns: t.shape[1], data: [...(await t.data())] });
  }
  return found;
}

/** What is transformed. */
export function directSignals(
  params: Numbers,
  { scope, order, permutationSeed }: SignalOptions,
  start?: Numbers,
): number[][] {
  let matrices = [...params];
  if (scope === 'a' || scope === 'b') matrices = matrices.filter(([name]) => name.endsWith(`.${scope}`));
  if (scope === 'change') {
    matrices = matrices.map(([name, w]) => {
      const before = start!.get(name)!.data;
      return [name, { ...w, data: w.data.map((x, i) => x - before[i]) }];
    });
  }
  if (scope === 'product') matrices = productsOf(params);
  let signals = matrices.flatMap(([, { rows, columns, data }]) => {
    if (order === 'each-row')
      return Array.from({ length: rows }, (_, r) => data.slice(r * columns, (r + 1) * columns));
    if (order === 'column') return [data.map((_, i) => data[(i % rows) * columns + Math.floor(i / rows)])];
    return [[...data]];
  });
  if (scope === 'concatenated') signals = [signals.flat()];
  if (order !== 'permuted') return signals;
  return signals.map((x) => [...permutation(x.length, permutationSeed)].map((place) => x[place]));
}

function productsOf(params: Numbers): [string, { rows: number; columns: number; data: number[] }][] {
  const paths = [...params.keys()].filter((name) => name.endsWith('.a')).map((name) => name.slice(0, -2));
  return paths.map((path) => {
    const [a, b] = [params.get(`${path}.a`)!, params.get(`${path}.b`)!];
    const cell = (i: number) => {
      const [row, column] = [Math.floor(i / a.columns), i % a.columns];
      let sum = 0;
      for (let k = 0; k < a.rows; k++) sum += b.data[row * b.columns + k] * a.data[k * a.columns + column];
      return sum;
    };
    const data = Array.from({ length: b.rows * a.columns }, (_, i) => cell(i));
    return [path, { rows: b.rows, columns: a.columns, data }];
  });
}

/** |Σ_j x_j·e^(−2πi·jk/N)|² for k = 0 … ⌊N/2⌋. */
export function directPowers(x: readonly number[]): number[] {
  return Array.from({ length: Math.floor(x.length / 2) + 1 }, (_, k) => {
    let [re, im] = [0, 0];
    x.forEach((value, j) => {
      re += value * Math.cos((2 * Math.PI * j * k) / x.length);
      im -= value * Math.sin((2 * Math.PI * j * k) / x.length);
    });
    return re * re + im * im;
  });
}

/** What the Fourier penalty multiplies `directPowers` by, at each bin. */
export function directWeights(length: number, options: FourierOptions): number[] {
  const bins = Math.floor(length / 2) + 1;
  const end = options.threshold * (options.n === 'bins' ? bins : length);
  const twice = Array.from({ length: bins }, (_, k) =>
    options.sides === 'two' && k > 0 && k < length / 2 ? 2 : 1,
  );
  const counted = twice.reduce((sum, times) => sum + times, 0);
  return twice.map((times, k) => {
    const share = options.ramp === 'ramp' ? Math.min(1, k / end) : Number(k >= end);
    const phi = options.phiLow + (options.phiHigh - options.phiLow) * share;
    const rho = options.rho === 'phi' ? phi : 1 - phi;
    return (times * rho) / { ortho: length, backward: 1, mean: counted }[options.norm];
  });
}

/** Σ over signals Σ_k weight(k)·|x̂_k|². */
export function directPenalty(
  signals: readonly (readonly number[])[],
  weightsOf: (length: number) => readonly number[],
): number {
  return signals.reduce((total, x) => {
    const weights = weightsOf(x.length);
    return directPowers(x).reduce((sum, power, k) => sum + weights[k] * power, total);
  }, 0);
}

/** The orthonormal DCT-II. */
export function directDct(x: readonly number[]): number[] {
  const n = x.length;
  return x.map((_, k) => {
    const sum = x.reduce(
      (total, value, j) => total + value * Math.cos((Math.PI * (2 * j + 1) * k) / (2 * n)),
      0,
    );
    return sum * Math.sqrt((k === 0 ? 1 : 2) / n);
  });
}
