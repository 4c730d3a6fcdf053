import { grad, innerProduct, mapTree } from '@flex/autograd';
import { add, type Backend, mul, openReference, scope, sum, type Tensor, tensor } from '@flex/tensor';
import { describeEachBackend } from '@flex/tensor/testing';
import { describe, expect, it } from 'vitest';
import type { Adapters } from '../adapters.ts';
import type { Regularizer } from '../regularizer.ts';
import { download, someAdapter } from '../testing/direct-penalty.ts';
import { checkRegularizer } from '../testing/index.ts';
import { dctPenalty } from './dct.ts';
import { fourier } from './fourier.ts';
import { l2 } from './l2.ts';
import { permutation } from './signals.ts';
import { type StandIn, standIn } from './stand-in.ts';

const context = (start: Adapters, seed = 4) => ({
  seed,
  start: () => mapTree((w) => mul(w, 1), start as Map<string, { a: Tensor; b: Tensor }>),
});
const madeFor = (kind: StandIn, penalty: Regularizer, start: Adapters, seed?: number) =>
  standIn(kind, context(start, seed)).of(penalty);
const pullsOf = ({ penalty }: Regularizer, adapters: Adapters) =>
  download(grad((w) => penalty(w, 1), adapters));
const length = (numbers: Iterable<number>) => Math.hypot(...numbers);

/** Of B alone, and cubic. */
const cubic: Regularizer = {
  penalty: (adapters) =>
    scope(() => [...adapters.values()].map(({ b }) => sum(mul(mul(b, b), b))).reduce(add)),
};
const penalties = { fourier: fourier(), dct: dctPenalty(), l2: l2(), cubic };

describeEachBackend((backend: () => Backend) => {
  it.each(Object.entries(penalties))(
    'matched L2 pulls every matrix as %s does, and straight to zero',
    async (_, penalty) => {
      const at = someAdapter(backend());
      const [wanted, got, weights] = [
        await pullsOf(penalty, at),
        await pullsOf(madeFor('matched-l2', penalty, at), at),
        await download(at),
      ];
      for (const [name, { data }] of got) {
        const norm = length(wanted.get(name)!.data);
        expect(Math.abs(length(data) - norm), name).toBeLessThan(2e-5 * (1 + norm));
        const w = weights.get(name)!.data;
        const along = data.reduce((total, x, i) => total + x * w[i], 0);
        expect(Math.abs(along - length(data) * length(w)), name).toBeLessThan(1e-4 * (1 + norm));
      }
    },
  );
});

const reference = openReference();
const at = async ({ penalty }: Regularizer, adapters: Adapters) => scope(() => penalty(adapters, 1)).item();

describe('stand-ins', () => {
  it('keep the contract of regularizers', async () => {
    const start = someAdapter(reference);
    for (const penalty of Object.values(penalties)) {
      await checkRegularizer(madeFor('permuted-order', penalty, start));
    }
  });

  it('a matrix of zeros is not pulled, and gives no NaN', async () => {
    const start = someAdapter(reference);
    const fresh = new Map([...start].map(([path, { a, b }]) => [path, { a, b: mul(b, 0) }]));
    const towards: Regularizer = { penalty: (w) => [...w.values()].map(({ b }) => sum(b)).reduce(add) };
    for (const [name, { data }] of await pullsOf(madeFor('matched-l2', towards, start), fresh))
      expect(
        [...data].every((x) => x === 0),
        name,
      ).toBe(true);
  });

  it('L2 matched to L2 is L2', async () => {
    const start = someAdapter(reference);
    const [one, other] = [l2(), madeFor('matched-l2', l2(), start)];
    expect(await at(other, start)).toBeCloseTo(await at(one, start), 10);
  });

  it('the permuted order is one of each matrix by itself: no L2 notices it, and a DCT does', async () => {
    const start = someAdapter(reference);
    const permuted = (penalty: Regularizer, seed: number) =>
      at(madeFor('permuted-order', penalty, start, seed), start);
    expect(await permuted(l2(), 1)).toBeCloseTo(await at(l2(), start), 10);
    const dct = dctPenalty();
    expect(Math.abs((await permuted(dct, 1)) - (await at(dct, start)))).toBeGreaterThan(1e-3);
    expect(await permuted(dct, 1)).toBe(await permuted(dct, 1));
    expect(await permuted(dct, 1)).not.toBe(await permuted(dct, 2));
  });

  it('the permuted order is that of `permutation`', async () => {
    const start = someAdapter(reference);
    const first: Regularizer = {
      penalty: (adapters) => {
        const { a } = adapters.get('m.0.up')!;
        const ramp = tensor(
          reference,
          Float32Array.from({ length: 15 }, (_, i) => i),
          a.shape,
        );
        return innerProduct(a, ramp);
      },
    };
    const { data } = (await download(start)).get('m.0.up.a')!;
    const expected = [...permutation(15, 4)].reduce((total, place, i) => total + data[place] * i, 0);
    expect(await at(madeFor('permuted-order', first, start), start)).toBeCloseTo(expected, 9);
  });

  it('a penalty on the change since the start is told a start in the same order: it begins at zero', async () => {
    const start = someAdapter(reference);
    const { context: told, of } = standIn('permuted-order', context(start));
    const change = fourier({ scope: 'change' }, told.start());
    expect(await at(of(change), start)).toBeCloseTo(0, 12);
    expect(await at(of(change), someAdapter(reference, 2))).toBeGreaterThan(0.1);
  });
});
