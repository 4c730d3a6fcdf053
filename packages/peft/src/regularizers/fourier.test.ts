import { grad, treeLeaves, valueAndGrad } from '@flex/autograd';
import { ConfigError } from '@flex/base';
import { describeShared, goldenModels, goldens, openGolden } from '@flex/fixtures';
import { mul, ones, openReference, reshape, split, type Tensor, tensor, zeros } from '@flex/tensor';
import { describeEachBackend, relativeError } from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readAdapterTensors } from '../adapter-file.ts';
import { peftName } from '../adapter-names.ts';
import { type AdapterPair, flattenAdapters } from '../adapters.ts';
import { spectraOfAdapter } from '../spectrum.ts';
import {
  directPenalty,
  directSignals,
  directWeights,
  download,
  someAdapter,
} from '../testing/direct-penalty.ts';
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
          const spectra = (await spectraOfAdapter(params, { norm })).each;
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
    const start = someAdapter(backend(), 2);
    const [numbers, before] = [await download(params), await download(start)];
    for (const given of everyOption) {
      const regularizer = fourier(given, start);
      const { options } = regularizer;
      const signals = directSignals(numbers, options, before);
      const expected = directPenalty(signals, (length) => directWeights(length, options));
      const what = JSON.stringify(given);
      expect(Math.abs((await regularizer.penalty(params, 1).item()) / expected - 1), what).toBeLessThan(2e-5);
      const spectra = [...(await spectraOfAdapter(params, given, start)).each.values()];
      const total = spectra.reduce((sum, { penalty }) => sum + penalty, 0);
      expect(Math.abs(total / expected - 1), what).toBeLessThan(2e-5);
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

type Rows = readonly (readonly number[])[];
type Of = (options: Partial<FourierOptions>, a?: Rows) => Promise<number>;

/** Two numbers that are equal, of the penalties `of` of a random matrix w (or of another one) and b = 0. */
const laws: [string, (of: Of, w: Rows) => Promise<readonly [number, number]>][] = [
  [
    'norm: ortho is backward over N, mean is backward over the bins',
    async (of, w) => {
      const n = w.length * w[0].length;
      const [ortho, mean] = [await of({}), await of({ norm: 'mean' })];
      return [n * ortho + mean, (await of({ norm: 'backward' })) * (1 + 1 / (Math.floor(n / 2) + 1))];
    },
  ],
  [
    'n: T of the length is T·N/K of the K bins',
    async (of, w) => {
      const n = w.length * w[0].length;
      const ofBins = (0.3 * n) / (Math.floor(n / 2) + 1);
      return [await of({ n: 'length', threshold: 0.3 }), await of({ threshold: ofBins })];
    },
  ],
  [
    "rho and sides: φ and 1 − φ of both sides are all of the power, Parseval's Σ w²",
    async (of, w) => {
      const parts = [await of({ sides: 'two' }), await of({ sides: 'two', rho: 'phi' })];
      return [parts[0] + parts[1], w.flat().reduce((sum, x) => sum + x * x, 0)];
    },
  ],
  [
    'ramp: one that ends before bin 1 is a step',
    async (of) => [await of({ ramp: 'step', threshold: 1e-9 }), await of({ threshold: 1e-9 })],
  ],
  [
    'phi_low, phi_high: the penalty is linear in 1 − φ',
    async (of) => {
      const [low, high] = [await of({ phiLow: 0, phiHigh: 1 }), await of({ phiLow: 1, phiHigh: 0 })];
      return [await of({ phiLow: 0.7, phiHigh: 0.2 }), 0.3 * low + 0.8 * high];
    },
  ],
  [
    'threshold: a ramp twice as long and as high costs no less',
    async (of) => {
      // Up to T both rise alike; from there on the second rises further.
      const ramp = { phiLow: 1, threshold: 0.3 };
      const [short, long] = [
        await of({ ...ramp, phiHigh: 0.5 }),
        await of({ ...ramp, threshold: 0.6, phiHigh: 0 }),
      ];
      return [Math.min(0, long - short), 0];
    },
  ],
  [
    'scope: As and Bs are each by themselves',
    async (of) => [(await of({ scope: 'a' })) + (await of({ scope: 'b' })), await of({})],
  ],
  [
    'order: the columns of a matrix are the rows of its transpose',
    async (of, w) => [
      await of({ order: 'column' }),
      await of(
        {},
        w[0].map((_, j) => w.map((row) => row[j])),
      ),
    ],
  ],
  [
    'order: with each row alone the order of the rows means nothing',
    async (of, w) => [await of({ order: 'each-row' }), await of({ order: 'each-row' }, w.toReversed())],
  ],
  [
    'twice the weights cost four times as much',
    async (of, w) => [
      await of(
        {},
        w.map((row) => row.map((x) => 2 * x)),
      ),
      4 * (await of({})),
    ],
  ],
  [
    'a turn of the signal costs nothing',
    async (of, w) => {
      const flat = w.flat();
      const turned = [...flat.slice(2), ...flat.slice(0, 2)];
      return [
        await of(
          {},
          w.map((row, i) => row.map((_, j) => turned[i * row.length + j])),
        ),
        await of({}),
      ];
    },
  ],
];

describe('laws of the switches', () => {
  const cell = fc.double({ min: -2, max: 2, noNaN: true });
  const matrix = fc
    .record({ rows: fc.integer({ min: 1, max: 4 }), columns: fc.integer({ min: 2, max: 9 }) })
    .chain(({ rows, columns }) => {
      const row = fc.array(cell, { minLength: columns, maxLength: columns });
      return fc.array(row, { minLength: rows, maxLength: rows });
    });
  const backend = openReference();
  it.each(laws)('%s', async (_, law) => {
    await fc.assert(
      fc.asyncProperty(matrix, async (w) => {
        const of: Of = (options, rows = w) => {
          const a = tensor(backend, rows.flat(), [rows.length, rows[0].length]);
          return fourier(options).penalty(adapterOfA(a), 1).item();
        };
        const [left, right] = await law(of, w);
        expect(Math.abs(left - right)).toBeLessThanOrEqual(1e-9 * (1 + Math.abs(right)));
      }),
      { numRuns: 25 },
    );
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

it('parameters of equal length share one transform, and those that lie in a stack are not copied', () => {
  const backend = openReference();
  const count = (modules: number) => {
    const rows = split(ones(backend, [2 * modules, 24]), Array(2 * modules).fill(1), 0);
    const pair = (i: number) => ({ a: reshape(rows[2 * i], [4, 6]), b: reshape(rows[2 * i + 1], [8, 3]) });
    const { dispatches } = backend.stats;
    fourier().penalty(new Map(Array.from({ length: modules }, (_, i) => [`m${i}`, pair(i)])), 1);
    return backend.stats.dispatches - dispatches;
  };
  expect(count(40)).toBe(count(1));
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

it('with scope product sees the product alone', async () => {
  const params = someAdapter(openReference());
  const same = new Map([...params].map(([path, { a, b }]) => [path, { a: mul(a, 4), b: mul(b, 0.25) }]));
  const { penalty } = fourier({ scope: 'product' });
  expect(await penalty(same, 1).item()).toBe(await penalty(params, 1).item());
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
  const spectrum = (await spectraOfAdapter(of(both), { bands: 5 })).each.get('m.a');
  expect(spectrum?.bins).toBe(5);
  expect(spectrum?.below).toBeCloseTo(0.25, 12);
  expect(spectrum?.above).toBeCloseTo(0.75, 12);
  [0, 0.25, 0, 0.75, 0].forEach((share, i) => {
    expect(spectrum?.bands[i]).toBeCloseTo(share, 12);
  });
  const zero = (await spectraOfAdapter(of(new Array(8).fill(0)))).each.get('m.a');
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
  ...(['a', 'b', 'product', 'concatenated', 'change'] as const).map((scope) => ({ scope })),
  ...(['column', 'each-row', 'permuted'] as const).map((order) => ({ order })),
  { order: 'permuted', scope: 'concatenated', permutationSeed: 9 },
];
