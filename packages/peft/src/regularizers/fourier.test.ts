import { grad, treeLeaves, valueAndGrad } from '@flex/autograd';
import { ConfigError } from '@flex/base';
import { describeShared, goldenModels, goldens, openGolden } from '@flex/fixtures';
import { type Backend, ones, openReference, type Tensor, tensor, zeros } from '@flex/tensor';
import { describeEachBackend, relativeError } from '@flex/tensor/testing';
import { describe, expect, it } from 'vitest';
import { readAdapterTensors } from '../adapter-file.ts';
import { peftName } from '../adapter-names.ts';
import { type AdapterPair, flattenAdapters } from '../adapters.ts';
import { spectrumOf } from '../spectrum.ts';
import { checkRegularizer } from '../testing/index.ts';
import { type FourierOptions, fourier } from './fourier.ts';
import { permutation } from './signals.ts';

interface Reference {
  readonly per_parameter: Readonly<Record<string, { readonly backward: number; readonly ortho: number }>>;
  readonly total_backward: number;
  readonly total_ortho: number;
}

describeShared(goldens, 'of reference adapters', () => {
  describeEachBackend((backend) => {
    describe.each(goldenModels)('the penalty of %s', (model) => {
      const golden = openGolden(model);
      const { per_parameter, total_backward, total_ortho } = golden.json<Reference>('fourier.json');
      const entries = Object.entries(per_parameter);
      const adapter = () => readAdapterTensors(backend(), golden.path('adapter')).params;

      it.each(['backward', 'ortho'] as const)(
        'equals the reference, each parameter and in all (%s)',
        async (norm) => {
          const params = adapter();
          const total = norm === 'ortho' ? total_ortho : total_backward;
          expect(Math.abs((await fourier({ norm }).penalty(params, 1).item()) / total - 1)).toBeLessThan(
            1e-5,
          );
          const spectra = await spectrumOf(params, { norm });
          const found = new Map([...spectra].map(([name, { penalty }]) => [peftName(name), penalty]));
          expect(found.size).toBe(entries.length);
          for (const [name, expected] of entries) {
            expect(Math.abs((found.get(name) ?? 0) / expected[norm] - 1), name).toBeLessThan(1e-5);
          }
        },
      );

      it('has the reference gradient', async () => {
        const regularizer = fourier({ norm: 'backward' });
        const grads = flattenAdapters(grad((adapters) => regularizer.penalty(adapters, 1), adapter()));
        const expected = golden.tensors('fourier_grads.safetensors');
        expect(grads.size).toBe(expected.size);
        for (const [name, g] of grads) {
          expect(relativeError(await g.data(), expected.get(peftName(name))!.data), name).toBeLessThan(1e-5);
        }
      });
    });
  });
});

describeEachBackend((backend) => {
  it('equals the sum that defines it, for every choice of options', async () => {
    const params = someAdapter(backend());
    const numbers = await download(params);
    for (const options of everyOption) {
      const regularizer = fourier(options);
      const expected = definition(numbers, options);
      expect(
        Math.abs((await regularizer.penalty(params, 1).item()) / expected - 1),
        JSON.stringify(options),
      ).toBeLessThan(2e-5);
      const spectra = [...(await spectrumOf(params, options)).values()];
      expect(
        Math.abs(spectra.reduce((total, { penalty }) => total + penalty, 0) / expected - 1),
      ).toBeLessThan(2e-5);
    }
  });

  it('the same lengths again compile nothing, and leave nothing in memory', async () => {
    const params = someAdapter(backend());
    const { penalty } = fourier();
    const once = () => {
      const { value, grads } = valueAndGrad((adapters) => penalty(adapters, 1), params);
      for (const t of [value, ...treeLeaves(grads)]) t.dispose();
    };
    once();
    await backend().sync();
    const { liveBytes, pipelines } = backend().stats;
    for (let i = 0; i < 5; i++) once();
    await backend().sync();
    expect(backend().stats.liveBytes).toBe(liveBytes);
    expect(backend().stats.pipelines).toBe(pipelines);
  });
});

describe('the contract of regularizers', () => {
  it.each([
    {},
    { norm: 'mean', sides: 'two' },
    { order: 'permuted' },
    { order: 'column', scope: 'a' },
  ] as const)('is kept with %o', async (options) => {
    await checkRegularizer(fourier(options));
  });
});

it('equal parameters of equal length share one transform', async () => {
  const backend = openReference();
  const count = async (modules: number) => {
    const params = new Map(
      Array.from({ length: modules }, (_, i) => [
        `m${i}`,
        { a: ones(backend, [4, 6]), b: ones(backend, [8, 3]) },
      ]),
    );
    const { dispatches } = backend.stats;
    fourier().penalty(params, 1);
    return backend.stats.dispatches - dispatches;
  };
  // One more module costs two more steps of concatenation.
  expect((await count(9)) - (await count(8))).toBe(2);
});

it('constant weights cost nothing, and the fastest change has weight 0.9', async () => {
  const backend = openReference();
  const of = (data: number[]) => adapterOfA(tensor(backend, data, [2, 4]));
  expect(
    await fourier()
      .penalty(of([3, 3, 3, 3, 3, 3, 3, 3]), 1)
      .item(),
  ).toBeCloseTo(0, 12);
  expect(
    await fourier()
      .penalty(of([1, -1, 1, -1, 1, -1, 1, -1]), 1)
      .item(),
  ).toBeCloseTo(0.9 * 8, 12);
});

it('measures the change from a start that it is given', async () => {
  const backend = openReference();
  const of = (data: number[]) => adapterOfA(tensor(backend, data, [1, 4]));
  const start = of([5, -1, 2, 0]);
  const moved = of([6, -2, 3, -1]);
  const expected = await fourier()
    .penalty(of([1, -1, 1, -1]), 1)
    .item();
  expect(await fourier({ scope: 'change' }, start).penalty(moved, 1).item()).toBeCloseTo(expected, 12);
  expect(() => fourier({ scope: 'change' }).penalty(moved, 1)).toThrow('scope change needs the start');
});

it('knows the share of the power that is below the threshold', async () => {
  const backend = openReference();
  const of = (data: number[]) => adapterOfA(tensor(backend, data, [1, 8]));
  const wave = (k: number) => Array.from({ length: 8 }, (_, j) => Math.cos((2 * Math.PI * k * j) / 8));
  const low = wave(1);
  const high = wave(3);
  const both = low.map((x, i) => x + Math.sqrt(3) * high[i]);
  expect((await fourier().diagnostics(of(both))).share_below).toBeCloseTo(0.25, 12);
  expect(await fourier().diagnostics(of(new Array(8).fill(0)))).toEqual({ share_below: 0 });
  const spectrum = (await spectrumOf(of(both), { bands: 5 })).get('m.a');
  expect(spectrum?.bins).toBe(5);
  expect(spectrum?.below).toBeCloseTo(0.25, 12);
  expect(spectrum?.above).toBeCloseTo(0.75, 12);
  [0, 0.25, 0, 0.75, 0].forEach((share, i) => {
    expect(spectrum?.bands[i]).toBeCloseTo(share, 12);
  });
  const zero = (await spectrumOf(of(new Array(8).fill(0)))).get('m.a');
  expect(zero).toMatchObject({ penalty: 0, below: 0, above: 0 });
});

it('a permutation has each place once, and another one for another seed', () => {
  const a = permutation(100, 1);
  expect([...a].sort((x, y) => x - y)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect([...permutation(100, 1)]).toEqual([...a]);
  expect([...permutation(100, 2)]).not.toEqual([...a]);
});

it('wrong options are refused by name', () => {
  const wrong: Partial<Record<keyof FourierOptions, unknown>>[] = [
    { threshold: 0 },
    { threshold: 1.5 },
    { phiLow: -0.1 },
    { phiHigh: Number.NaN },
    { norm: 'forward' },
    { n: 'half' },
    { rho: 'psi' },
    { sides: 'three' },
    { ramp: 'smooth' },
    { scope: 'all' },
    { order: 'diagonal' },
    { permutationSeed: -1 },
  ];
  for (const options of wrong) {
    const [key] = Object.keys(options);
    expect(() => fourier(options as object), key).toThrow(new RegExp(`^fourier: ${key} must`));
    expect(() => fourier(options as object)).toThrow(ConfigError);
  }
  expect(() => fourier({ scope: 'concatenated', order: 'each-row' })).toThrow(ConfigError);
});

/** An adapter of one module with this a, and a b of zeros, which no penalty sees. */
const adapterOfA = (a: Tensor): Map<string, AdapterPair> =>
  new Map([['m', { a, b: zeros(a.backend, [3, a.shape[0]]) }]]);

/** Two modules with lengths that are odd, even and equal. */
function someAdapter(backend: Backend): Map<string, AdapterPair> {
  const value = (i: number) => Math.fround(Math.sin(12.9898 * i) + 0.3 * Math.cos(i));
  const draw = (k: number, rows: number, columns: number): Tensor => {
    const data = Array.from({ length: rows * columns }, (_, i) => value(i + 50 * k + 1));
    return tensor(backend, data, [rows, columns]);
  };
  return new Map([
    ['m.0.up', { a: draw(0, 3, 5), b: draw(1, 6, 3) }],
    ['m.0.down', { a: draw(2, 3, 6), b: draw(3, 5, 3) }],
  ]);
}

type Numbers = Map<string, { rows: number; columns: number; data: number[] }>;

async function download(params: Map<string, AdapterPair>): Promise<Numbers> {
  const found: Numbers = new Map();
  for (const [name, t] of flattenAdapters(params)) {
    found.set(name, { rows: t.shape[0], columns: t.shape[1], data: [...(await t.data())] });
  }
  return found;
}

const everyOption: Partial<FourierOptions>[] = [
  {},
  ...(['backward', 'mean'] as const).map((norm) => ({ norm })),
  { n: 'length' },
  { rho: 'phi' },
  { sides: 'two' },
  { sides: 'two', norm: 'mean' },
  { ramp: 'step' },
  { ramp: 'step', threshold: 0.25, n: 'length' },
  { threshold: 1, phiLow: 0.2, phiHigh: 0.8 },
  ...(['a', 'b', 'product', 'concatenated'] as const).map((scope) => ({ scope })),
  ...(['column', 'each-row', 'permuted'] as const).map((order) => ({ order })),
  { order: 'permuted', scope: 'concatenated', permutationSeed: 9 },
];

/** The penalty by the textbook's DFT, in f64. */
function definition(params: Numbers, given: Partial<FourierOptions>): number {
  const { scope, order, ...options } = fourier(given).options;
  let matrices = [...params].filter(([name]) => !['a', 'b'].includes(scope) || name.endsWith(`.${scope}`));
  if (scope === 'product') {
    matrices = ['m.0.up', 'm.0.down'].map((path) => {
      const [a, b] = ['a', 'b'].map((side) => params.get(`${path}.${side}`));
      if (!a || !b) throw new Error('unreachable');
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
  let signals = matrices.flatMap(([, { rows, columns, data }]) => {
    if (order === 'each-row')
      return Array.from({ length: rows }, (_, r) => data.slice(r * columns, (r + 1) * columns));
    if (order === 'column') return [data.map((_, i) => data[(i % rows) * columns + Math.floor(i / rows)])];
    return [data];
  });
  if (scope === 'concatenated') signals = [signals.flat()];
  if (order === 'permuted') {
    signals = signals.map((x) =>
      [...permutation(x.length, options.permutationSeed)].map((place) => x[place]),
    );
  }
  return signals.reduce((total, x) => total + penaltyOf(x, options), 0);
}

function penaltyOf(x: number[], options: Omit<FourierOptions, 'scope' | 'order'>): number {
  const length = x.length;
  const bins = Math.floor(length / 2) + 1;
  const end = options.threshold * (options.n === 'bins' ? bins : length);
  let sum = 0;
  let counted = 0;
  for (let k = 0; k < bins; k++) {
    let [re, im] = [0, 0];
    x.forEach((value, j) => {
      re += value * Math.cos((2 * Math.PI * j * k) / length);
      im -= value * Math.sin((2 * Math.PI * j * k) / length);
    });
    const power = (re * re + im * im) / (options.norm === 'ortho' ? length : 1);
    const share = options.ramp === 'ramp' ? Math.min(1, k / end) : Number(k >= end);
    const phi = options.phiLow + (options.phiHigh - options.phiLow) * share;
    const twice = options.sides === 'two' && k > 0 && k < length / 2 ? 2 : 1;
    sum += twice * (options.rho === 'phi' ? phi : 1 - phi) * power;
    counted += twice;
  }
  return options.norm === 'mean' ? sum / counted : sum;
}
