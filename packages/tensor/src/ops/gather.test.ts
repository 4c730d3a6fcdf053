import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checked, gather, mul, ShapeError, scatterAdd, sum, type Tensor, tensor, uniform } from '../index.ts';
import { apply, opTable } from '../kernel.ts';
import { describeEachBackend, deviceBackends, expectClose } from '../testing/index.ts';

const key = [5, 6] as const;

/** Ids with many repeats, negative ones and ones past the table. */
const manyIds = (n: number, v: number) =>
  Int32Array.from(uniform(n, { key }), (u) => Math.floor(u * (v + 4)) - 2);

/** Σ in f32, in the order of the ids. */
function addedInOrder(g: Float32Array, ids: Int32Array, v: number, e: number): Float32Array {
  const out = new Float32Array(v * e);
  ids.forEach((id, i) => {
    if (id < 0 || id >= v) return;
    for (let j = 0; j < e; j++) out[id * e + j] += g[i * e + j];
  });
  return out;
}

describe('gather and scatterAdd', () => {
  describeEachBackend((backend) => {
    test.each([[8], [3]])(
      'scatterAdd adds the rows of each id, and leaves out ids that are not in the table: e = %i',
      async (e) => {
        const [n, v] = [203, 37];
        const [g, ids] = [uniform(n * e, { key, counter: [1, 0] }), manyIds(n, v)];
        const added = scatterAdd(tensor(backend(), g, [7, 29, e]), tensor(backend(), ids, [7, 29], 'i32'), v);
        expect(added.shape).toEqual([v, e]);
        expectClose(await added.data(), addedInOrder(g, ids, v, e), 1e-5);
      },
    );

    test('⟨gather(table, ids), g⟩ = ⟨table, scatterAdd(g, ids)⟩', async () => {
      const [n, v, e] = [50, 9, 4];
      const table = tensor(backend(), uniform(v * e, { key, counter: [2, 0] }), [v, e]);
      const g = tensor(backend(), uniform(n * e, { key, counter: [3, 0] }), [n, e]);
      const ids = tensor(backend(), manyIds(n, v), [n], 'i32');
      const inner = (x: Tensor, y: Tensor) => sum(mul(x, y)).item();
      expectClose([await inner(gather(table, ids), g)], [await inner(table, scatterAdd(g, ids, v))], 1e-5);
    });

    test('firstIndex and nextIndex find any ids, of all 32 bits, in their order', async () => {
      const arbitraryId = fc.oneof(fc.integer({ min: -2, max: 9 }), fc.integer());
      await fc.assert(
        fc.asyncProperty(
          fc.array(arbitraryId, { maxLength: 200 }),
          fc.integer({ min: 1, max: 9 }),
          async (ids, v) => {
            const list = tensor(backend(), ids, [ids.length], 'i32');
            const found = (name: string, attrs: object) => apply(opTable.get(name)!, [list], attrs).data();
            const firsts = Array.from({ length: v }, (_, id) => ids.indexOf(id));
            expect(Array.from(await found('firstIndex', { v }))).toEqual(firsts);
            const nexts = ids.map((id, i) => ids.indexOf(id, i + 1));
            expect(Array.from(await found('nextIndex', {}))).toEqual(nexts);
          },
        ),
        { numRuns: 40 },
      );
    });

    test('nextIndex finds ids that multiplicative hashing puts into one place, the last of its table', async () => {
      const inverse = 0x144cbc89; // of 2³² over the golden ratio, modulo 2³²
      const ids = Int32Array.from({ length: 600 }, (_, i) => Math.imul(-1 - (i % 300), inverse));
      const list = tensor(backend(), ids, [600], 'i32');
      // Memory that is free now holds no zeros.
      tensor(backend(), new Float32Array(10_000).fill(Number.NaN), [10_000]).dispose();
      const found = apply(opTable.get('nextIndex')!, [list], {});
      expect(Array.from(await found.data())).toEqual(Array.from(ids, (_, i) => (i < 300 ? i + 300 : -1)));
    });

    test('an id of 2³¹ − 1 or −2³¹ has no row', async () => {
      const table = tensor(backend(), [1, 2], [2, 1]);
      const ids = tensor(backend(), [2 ** 31 - 1, -(2 ** 31), 1], [3], 'i32');
      expect(Array.from(await gather(table, ids).data())).toEqual([0, 0, 2]);
    });

    test('an id outside the table reads zeros, and on a checked backend is an error by name', async () => {
      const ids = (...data: number[]) => tensor(looking, data, [data.length], 'i32');
      const looking = checked(backend());
      const table = tensor(looking, [1, 2, 3], [3, 1]);
      expect([...(await gather(table, ids(2, 0)).data())]).toEqual([3, 1]);
      const wrong = gather(table, ids(0, 3));
      await expect(wrong.data()).rejects.toThrow('gather: index 3 is not in [0, 3)');
      gather(table, ids(-1));
      await expect(looking.sync()).rejects.toThrow('gather: index -1 is not in [0, 3)');
      const plain = gather(tensor(backend(), [1, 2], [2, 1]), tensor(backend(), [-1, 2], [2], 'i32'));
      expect([...(await plain.data())]).toEqual([0, 0]);
    });

    test('a table of which no row is named gets zeros', async () => {
      const none = scatterAdd(tensor(backend(), [], [0, 2]), tensor(backend(), [], [0], 'i32'), 3);
      expect(Array.from(await none.data())).toEqual([0, 0, 0, 0, 0, 0]);
    });

    test('scatterAdd refuses rows that are not one an id', () => {
      const ids = tensor(backend(), [0, 1], [2], 'i32');
      expect(() => scatterAdd(tensor(backend(), [1, 2, 3], [3, 1]), ids, 2)).toThrow(ShapeError);
      expect(() => scatterAdd(tensor(backend(), [1, 2], [2]), ids, 2)).toThrow('got f32[2] and i32[2]');
    });
  });

  describeEachBackend(
    (backend) => {
      test('scatterAdd adds in the order of the ids, to the last bit', async () => {
        const [n, v, e] = [301, 3, 4];
        const [g, ids] = [uniform(n * e, { key }), manyIds(n, v)];
        const added = scatterAdd(tensor(backend(), g, [n, e]), tensor(backend(), ids, [n], 'i32'), v);
        expect(await added.data()).toEqual(addedInOrder(g, ids, v, e));
      });
      // The loops of gpu.js add in f64 before they round, so they are not held to f32.
    },
    deviceBackends.filter(({ label }) => label === '[webgpu]' || label === 'wasm'),
  );
});
