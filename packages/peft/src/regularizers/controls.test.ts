import { grad, innerProduct } from '@flex/autograd';
import { type Backend, mul, openReference, scope, sub, tensor, zeros } from '@flex/tensor';
import { describeEachBackend } from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Adapters } from '../adapters.ts';
import type { Regularizer } from '../regularizer.ts';
import {
  directPenalty,
  directSignals,
  directWeights,
  download,
  someAdapter,
} from '../testing/direct-penalty.ts';
import { checkRegularizer } from '../testing/index.ts';
import { type FourierOptions, fourier } from './fourier.ts';
import { frequencyWeights } from './frequency-weights.ts';
import { type MatchedL2Options, matchedL2 } from './matched-l2.ts';
import { permutedFrequencies } from './permuted-frequencies.ts';
import { permutation } from './signals.ts';
import { swappedFrequencies } from './swapped-frequencies.ts';

const switches: Partial<FourierOptions>[] = [
  {},
  { norm: 'backward' },
  { norm: 'mean', sides: 'two' },
  { n: 'length', ramp: 'step' },
  { scope: 'product' },
  { scope: 'a', order: 'each-row' },
  { scope: 'concatenated', order: 'column' },
  { order: 'permuted', permutationSeed: 3 },
];
const matches = ['expected-penalty', 'penalty', 'gradient'] as const;

const at = async ({ penalty }: Regularizer, adapters: Adapters) => {
  const value = scope(() => penalty(adapters, 1));
  const number = await value.item();
  value.dispose();
  return number;
};
/** ‖∇L‖ over all A and B, summed on the host. */
const slopeAt = async ({ penalty }: Regularizer, adapters: Adapters) => {
  const gradient = grad((w) => penalty(w, 1), adapters);
  const all = [...(await download(gradient)).values()].flatMap(({ data }) => data);
  return Math.hypot(...all);
};
const close = (got: number, want: number, tolerance: number, what?: unknown) =>
  expect(Math.abs(got / want - 1), JSON.stringify(what)).toBeLessThan(tolerance);

describeEachBackend((backend: () => Backend) => {
  it('swapped and permuted frequencies equal the sums that define them', async () => {
    const params = someAdapter(backend());
    const numbers = await download(params);
    for (const given of switches) {
      const { options } = fourier(given);
      const signals = directSignals(numbers, options);
      const weights = (length: number) => directWeights(length, options);
      const swapped = directPenalty(signals, (length) => weights(length).reverse());
      const permuted = directPenalty(signals, (length) => {
        const places = [...permutation(weights(length).length, 5)];
        return places.map((k) => weights(length)[k]);
      });
      close(await at(swappedFrequencies(given), params), swapped, 2e-5, given);
      close(await at(permutedFrequencies({ ...given, frequencySeed: 5 }), params), permuted, 2e-5, given);
    }
  });

  it.each(matches)('L2 has the %s of the Fourier penalty, at the start or always, to 1e-6', async (match) => {
    const [start, later] = [someAdapter(backend()), someAdapter(backend(), 2)];
    for (const given of switches) {
      const target = fourier(given);
      const fixed = await matchedL2({ ...given, match }, start);
      const kept = await matchedL2({ ...given, match, factor: 'kept' });
      for (const [l2, adapters] of [
        [fixed, start],
        [kept, start],
        [kept, later],
      ] as const) {
        if (match === 'gradient') {
          close(await slopeAt(l2, adapters), await slopeAt(target, adapters), 1e-6, given);
        } else {
          const signals = directSignals(await download(adapters), target.options);
          const wanted =
            match === 'penalty' ? await at(target, adapters) : meanOverOrders(signals, target.options);
          close(await at(l2, adapters), wanted, 1e-6, given);
        }
      }
    }
  });

  it('L2 that is kept leaves nothing in memory and compiles nothing again', async () => {
    const params = someAdapter(backend());
    const { penalty } = await matchedL2({ match: 'gradient', factor: 'kept' });
    const once = () => {
      for (const { a, b } of grad((w) => penalty(w, 1), params).values()) for (const t of [a, b]) t.dispose();
    };
    once();
    await backend().sync();
    const { liveBytes, pipelines } = backend().stats;
    once();
    await backend().sync();
    expect(backend().stats).toMatchObject({ liveBytes, pipelines });
  });
});

const reference = openReference();

describe('the contract of regularizers', () => {
  it('is kept by the controls', async () => {
    await checkRegularizer(swappedFrequencies());
    await checkRegularizer(permutedFrequencies({ frequencySeed: 2 }));
    for (const match of matches) await checkRegularizer(await matchedL2({ match }, someAdapter(reference)));
  });

  it.each(matches)(
    'is kept by L2 with its %s kept, whose factor is constant in the gradient',
    async (match) => {
      const kept = await matchedL2({ match, factor: 'kept' });
      await checkRegularizer(kept, { surrogate: async (w) => matchedL2({ match }, w) });
    },
  );
});

describe('matched L2', () => {
  it('has for its expected penalty the mean of the Fourier penalty over all orders', async () => {
    const a = tensor(reference, [0.3, -1.2, 0.7, 2.1, -0.4], [1, 5]);
    const b = tensor(reference, [1.5, -0.2, 0.1, 0.9], [4, 1]);
    const params = new Map([['m', { a, b }]]);
    for (const given of [{}, { norm: 'mean' }, { sides: 'two', rho: 'phi' }] as const) {
      const { options } = fourier(given);
      const mean = directSignals(await download(params), options)
        .map((x) => {
          const orders = permutationsOf(x);
          return directPenalty(orders, (length) => directWeights(length, options)) / orders.length;
        })
        .reduce((total, one) => total + one);
      close(await at(await matchedL2(given, params), params), mean, 1e-12, given);
    }
  });

  it('with the same penalty pulls as strongly towards zero, ⟨∇L, w⟩ = 2L', async () => {
    const params = someAdapter(reference);
    for (const one of [fourier(), await matchedL2({ match: 'penalty', factor: 'kept' })]) {
      const gradient = grad((w) => one.penalty(w, 1), params);
      close(await innerProduct(gradient, params).item(), 2 * (await at(fourier(), params)), 1e-12);
    }
  });

  it('that is fixed does not follow the adapter, one that is kept does', async () => {
    const [start, later] = [someAdapter(reference), someAdapter(reference, 2)];
    const fixed = await matchedL2({ match: 'penalty' }, start);
    const squares = async (w: Adapters) => innerProduct(w, w).item();
    const factor = (await at(fixed, start)) / (await squares(start));
    close((await at(fixed, later)) / (await squares(later)), factor, 1e-12);
    expect(Math.abs((await at(fixed, later)) / (await at(fourier(), later)) - 1)).toBeGreaterThan(1e-3);
  });

  it('measures the change since the start as the Fourier penalty does, where its factor is kept', async () => {
    const [start, later] = [someAdapter(reference), someAdapter(reference, 2)];
    const given: Partial<MatchedL2Options> = { scope: 'change', match: 'penalty', factor: 'kept' };
    const kept = await matchedL2(given, start);
    expect(await at(kept, start)).toBe(0);
    close(await at(kept, later), await at(fourier({ scope: 'change' }, start), later), 1e-12);
  });

  it('refuses a fixed factor without a start, or with one that has zeros alone', async () => {
    const start = someAdapter(reference);
    await expect(matchedL2()).rejects.toThrow('factor fixed needs the start of the adapter');
    await expect(matchedL2({ scope: 'change' }, start)).rejects.toThrow(
      'with scope change all signals are zero at the start, where c is fixed; take factor kept',
    );
    const fresh = new Map([...start].map(([path, { a, b }]) => [path, { a, b: zeros(reference, b.shape) }]));
    await expect(matchedL2({ scope: 'product', match: 'gradient' }, fresh)).rejects.toThrow(
      'take factor kept',
    );
    await expect(matchedL2({ match: 'norm' } as object)).rejects.toThrow(/^matched-l2: match must be/);
  });
});

describe('swapped and permuted frequencies', () => {
  const numbers = fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: 2, maxLength: 60 });
  const adapterOf = (x: readonly number[]) =>
    new Map([['m', { a: tensor(reference, x, [1, x.length]), b: zeros(reference, [3, 1]) }]]);

  it('swapped is the penalty of the signal with every other sign turned, where N is even', () =>
    fc.assert(
      fc.asyncProperty(numbers, fc.constantFrom(...switches.slice(0, 4)), async (x, given) => {
        const even = x.length % 2 ? [...x, 1] : x;
        const turned = even.map((value, j) => (j % 2 ? -value : value));
        const swapped = await at(swappedFrequencies(given), adapterOf(even));
        const plain = await at(fourier(given), adapterOf(turned));
        expect(Math.abs(swapped - plain)).toBeLessThan(1e-9 * (1 + plain));
      }),
    ));

  it('have the weights of the Fourier penalty, in another order: a wave of each bin costs one of them', async () => {
    for (const length of [12, 15]) {
      const bins = Math.floor(length / 2) + 1;
      const options = { sides: 'two' } as const;
      const costs = async (regularizer: Regularizer) => {
        const waves = Array.from({ length: bins }, (_, k) =>
          Array.from({ length }, (_, j) => Math.cos((2 * Math.PI * k * j) / length)),
        );
        const power = (k: number) => (k === 0 || 2 * k === length ? length : length / 4);
        return Promise.all(waves.map(async (x, k) => (await at(regularizer, adapterOf(x))) / power(k)));
      };
      const sorted = (all: readonly number[]) => all.toSorted((a, b) => a - b);
      const expected = [...frequencyWeights(length, fourier(options).options)];
      const [swapped, permuted] = [
        await costs(swappedFrequencies(options)),
        await costs(permutedFrequencies(options)),
      ];
      for (const got of [swapped, permuted]) {
        for (const [i, weight] of sorted(got).entries()) expect(weight).toBeCloseTo(sorted(expected)[i], 9);
      }
      for (const [k, weight] of swapped.entries()) expect(weight).toBeCloseTo(expected[bins - 1 - k], 9);
      expect(permuted.some((weight, k) => Math.abs(weight - expected[k]) > 0.1)).toBe(true);
    }
  });

  it('permuted: the seed decides, and is a whole number from 0 to 2³² − 1', async () => {
    const params = someAdapter(reference);
    const of = (frequencySeed: number) => at(permutedFrequencies({ frequencySeed }), params);
    expect(await of(1)).toBe(await of(1));
    expect(await of(1)).not.toBe(await of(2));
    expect(() => permutedFrequencies({ frequencySeed: -1 })).toThrow(
      /^permuted-frequencies: frequencySeed must/,
    );
  });

  it('measure the change from the start that they are given', async () => {
    const [start, later] = [someAdapter(reference), someAdapter(reference, 2)];
    const change = new Map(
      [...later].map(([path, { a, b }]) => {
        const before = start.get(path)!;
        return [path, { a: sub(a, before.a), b: sub(b, before.b) }];
      }),
    );
    for (const control of [swappedFrequencies, permutedFrequencies])
      close(await at(control({ scope: 'change' }, start), later), await at(control(), change), 1e-12);
  });

  it('cost four times as much of twice the weights', async () => {
    const params = someAdapter(reference);
    const twice = new Map([...params].map(([path, { a, b }]) => [path, { a: mul(a, 2), b: mul(b, 2) }]));
    for (const control of [swappedFrequencies(), permutedFrequencies()])
      close(await at(control, twice), 4 * (await at(control, params)), 1e-12);
  });
});

/** The mean of the Fourier penalty over all orders of each signal, from its sum and its variance. */
function meanOverOrders(signals: readonly (readonly number[])[], options: FourierOptions): number {
  return signals.reduce((total, x) => {
    const n = x.length;
    const [atZero, ...others] = directWeights(n, options);
    const sum = x.reduce((a, b) => a + b);
    const variance = x.reduce((a, b) => a + (b - sum / n) ** 2, 0) / (n - 1);
    return total + atZero * sum ** 2 + others.reduce((a, b) => a + b) * n * variance;
  }, 0);
}

function permutationsOf(x: readonly number[]): number[][] {
  if (x.length < 2) return [[...x]];
  return x.flatMap((first, i) => permutationsOf(x.toSpliced(i, 1)).map((rest) => [first, ...rest]));
}
