import { describe, expect, test } from 'vitest';
import {
  add,
  addRmsNorm,
  donate,
  mul,
  OutOfMemoryError,
  openReference,
  reshape,
  scope,
  setRows,
  tensor,
} from './index.ts';
import { elementwiseAll, withRecorder } from './kernel.ts';
import { describeEachBackend } from './testing/index.ts';

const swapped = elementwiseAll('swapped', 2, (x, y) => [y, x]);

describe('donate', () => {
  describeEachBackend((backend) => {
    const row = (...data: number[]) => tensor(backend(), data, [data.length]);
    const numbers = async (t: { data(): Promise<ArrayLike<number>> }) => Array.from(await t.data());

    test('the result lies in the memory of what was given up, which is gone', async () => {
      const [x, y] = [row(1, 2, 3), row(10, 20, 30)];
      const { buffer } = x;
      const live = backend().stats.liveBytes;
      const z = add(donate(x), y);
      expect(z.buffer).toBe(buffer);
      expect(x.disposed).toBe(true);
      expect(backend().stats.liveBytes).toBe(live);
      expect(await numbers(z)).toEqual([11, 22, 33]);
      expect(await numbers(y)).toEqual([10, 20, 30]);
    });

    test('two results in the memory of two operands read both before they write', async () => {
      const [x, y] = [row(1, 2, 3), row(4, 5, 6)];
      const [a, b] = swapped(donate(x), donate(y));
      expect([await numbers(a), await numbers(b)]).toEqual([
        [4, 5, 6],
        [1, 2, 3],
      ]);
      expect([a.buffer, b.buffer]).toEqual([a.buffer, b.buffer]);
      expect(x.disposed && y.disposed).toBe(true);
    });

    test('memory that somebody else still sees is left alone', async () => {
      const x = row(1, 2, 3);
      const view = reshape(x, [3, 1]);
      const z = mul(donate(x), 5);
      expect(z.buffer).not.toBe(view.buffer);
      expect(await numbers(view)).toEqual([1, 2, 3]);
      const w = row(2, 3);
      expect(await numbers(mul(donate(w), w))).toEqual([4, 9]);
    });

    test('an operand that stretches is given up, and its memory is not enough', async () => {
      const [x, y] = [row(2), row(1, 2, 3)];
      const z = mul(donate(x), y);
      expect(x.disposed).toBe(true);
      expect(await numbers(z)).toEqual([2, 4, 6]);
    });

    test('an operand that has to be expanded first is given up too', () => {
      const x = tensor(backend(), [1, 2, 3], [1, 3, 1]);
      add(donate(x), tensor(backend(), new Float32Array(12), [2, 3, 2]));
      expect(x.disposed).toBe(true);
    });

    test('while something records nothing is given up', async () => {
      const x = row(1, 2);
      const z = withRecorder({ record() {} }, () => mul(donate(x), 3));
      expect(x.disposed).toBe(false);
      expect(await numbers(x)).toEqual([1, 2]);
      expect(await numbers(z)).toEqual([3, 6]);
    });

    test.each(['f32', 'f16'] as const)(
      'setRows of %s in place is setRows on a copy, as often as one likes',
      async (dtype) => {
        const places = [3, 0, -1, 3, 2, 4];
        const zeros = () => tensor(backend(), new Float32Array(2 * 4 * 6), [2, 4, 6], dtype);
        let [cache, copied] = [zeros(), zeros()];
        for (const [i, place] of places.entries()) {
          const fresh = tensor(
            backend(),
            Float32Array.from({ length: 24 }, (_, j) => 10 * i + j / 3),
            [2, 2, 6],
          );
          const at = tensor(backend(), [place, 3 - place], [2], 'i32');
          const { buffer } = cache;
          cache = scope(() => setRows(donate(cache), fresh, at));
          copied = setRows(copied, fresh, at);
          expect(cache.buffer).toBe(buffer);
        }
        expect(await numbers(cache)).toEqual(await numbers(copied));
      },
    );
  });
});

test('an op for whose second output there is no memory gives the first one back', () => {
  const backend = openReference();
  const [x, weight] = [tensor(backend, [1, 2, 3, 4], [2, 2]), tensor(backend, [1, 2], [2])];
  const { liveBytes } = backend.stats;
  const { allocate } = backend;
  let left = 1;
  backend.allocate = (spec) => {
    if (left-- === 0) throw new OutOfMemoryError('no more');
    return allocate.call(backend, spec);
  };
  expect(() => addRmsNorm(x, x, weight, 1e-5)).toThrow('no more');
  expect(backend.stats.liveBytes).toBe(liveBytes);
});
