import { type Backend, tensor } from '@flex/tensor';
import { allBackends, describeEachBackend } from '@flex/tensor/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { innerProduct } from './inner-product.ts';

/** Numbers that follow from their places, of both signs. */
const numbers = (n: number, seed: number) => Array.from({ length: n }, (_, i) => Math.sin(seed + 1.7 * i));

describeEachBackend(
  (backend: () => Backend) => {
    test('is Σ x·y over the tensors of both, however many are of one length', async () => {
      const lengths = fc.array(fc.constantFrom(1, 5, 12, 4096, 6000), { minLength: 1, maxLength: 9 });
      await fc.assert(
        fc.asyncProperty(lengths, async (all) => {
          const of = (seed: number) => all.map((n, i) => numbers(n, seed + i));
          const params = (tensors: number[][]) =>
            new Map(tensors.map((data, i) => [`p${i}`, tensor(backend(), data, [data.length])]));
          const [x, y] = [of(0.3), of(1.1)];
          const { dispatches } = backend().stats;
          const [xs, ys] = [params(x), params([...y])];
          // By name, not by place.
          const product = innerProduct(new Map([...xs].reverse()), ys);
          const made = backend().stats.dispatches - dispatches;
          const [left, right] = [x.flat(), y.flat()];
          const wanted = left.reduce((sum, a, i) => sum + a * right[i], 0);
          expect(Math.abs((await product.item()) - wanted) / Math.sqrt(left.length)).toBeLessThan(1e-5);
          const kinds = new Set(all).size;
          expect(made).toBeLessThanOrEqual(all.length / 3 + 5 * kinds);
          for (const t of [product, ...xs.values(), ...ys.values()]) t.dispose();
        }),
        { numRuns: 8 },
      );
    });

    test('leaves nothing but its result', () => {
      const x = new Map([['p', tensor(backend(), numbers(4096, 0), [64, 64])]]);
      const { liveBytes } = backend().stats;
      innerProduct(x, x).dispose();
      expect(backend().stats.liveBytes).toBe(liveBytes);
    });
  },
  allBackends.filter(({ label }) => label !== 'gpu.js cpu'),
);
