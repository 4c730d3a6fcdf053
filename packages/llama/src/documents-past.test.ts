import { concat, reshape, rope, slice, tensor } from '@flex/tensor';
import { describeEachBackend, referenceBackend } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { documentsPast } from './documents-past.ts';
import type { RotaryModel } from './past.ts';

const [h, d] = [2, 4];

describeEachBackend(
  (backend) => {
    /** Documents of 3 and 2 tokens, and one of 4 with one of padding. */
    const open = () => {
      const asked: number[] = [];
      const model = {
        backend: backend(),
        config: { headDim: d } as RotaryModel['config'],
        rope(positions: number) {
          asked.push(positions);
          const angles = Float32Array.from({ length: (positions * d) / 2 }, (_, i) => i / 7);
          const table = (f: (x: number) => number) => tensor(backend(), angles.map(f), [positions, d / 2]);
          return { cos: table(Math.cos), sin: table(Math.sin) };
        },
      };
      const starts = Int32Array.of(0, 0, 0, 3, 3, 0, 0, 0, 0, 4);
      return { asked, tables: () => model.rope(4), past: documentsPast(model, starts, [2, 5]) };
    };
    const numbers = (shape: readonly number[]) => {
      const n = shape.reduce((product, size) => product * size, 1);
      return tensor(
        backend(),
        Float32Array.from({ length: n }, (_, i) => Math.sin(i)),
        [...shape],
      );
    };

    test('each document is turned from position 0 on, and only the longest must fit the context', async () => {
      const { asked, tables, past } = open();
      expect(asked).toEqual([4]);
      const x = numbers([2, 5, h, d]);
      const alone = ([row, from, length]: readonly number[]) =>
        rope(slice(x, [row, from, 0, 0], [1, length, h, d]), tables());
      const rows = [
        [
          [0, 0, 3],
          [0, 3, 2],
        ],
        [
          [1, 0, 4],
          [1, 4, 1],
        ],
      ].map((documents) => concat(documents.map(alone), 1));
      expect(await past.rotate(x).data()).toEqual(await concat(rows, 0).data());
    });

    test('a token weighs those of its document up to itself, and no other', async () => {
      const { past } = open();
      // [b·kv, group·t, s]: a key head, two query heads.
      const weights = await past.weigh(numbers([2, 10, 5])).data();
      const seen = (row: number) =>
        Array.from({ length: 5 }, (_, key) => (weights[row * 5 + key] > 0 ? key : -1)).filter(
          (key) => key >= 0,
        );
      const first = [[0], [0, 1], [0, 1, 2], [3], [3, 4]];
      const second = [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [4]];
      const rows = Array.from({ length: 20 }, (_, row) => seen(row));
      expect(rows).toEqual([...first, ...first, ...second, ...second]);
      const sums = await reshape(past.weigh(numbers([2, 10, 5])), [20, 5]).data();
      for (let row = 0; row < 20; row++) {
        const own = Array.from(sums.slice(row * 5, row * 5 + 5));
        expect(own.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
      }
    });
  },
  [referenceBackend],
);
