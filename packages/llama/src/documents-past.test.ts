import { concat, rope, slice, tensor, zeros } from '@flex/tensor';
import { describeEachBackend, referenceBackend } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import type { ModelConfig } from './config.ts';
import { documentsPast } from './documents-past.ts';
import { newRotary } from './rotary-tables.ts';

const [h, d] = [2, 4];

describeEachBackend(
  (backend) => {
    /** Documents of 3 and 2 tokens, and one of 4 with one of padding. */
    const open = (ropeScaling: ModelConfig['ropeScaling'] = null) => {
      const config = {
        ...{ headDim: d, ropeTheta: 10, ropeScaling, maxPositions: 3 },
        windows: [null] as ModelConfig['windows'],
      } as ModelConfig;
      const model = { backend: backend(), config, ...newRotary(backend(), config) };
      const starts = Int32Array.of(0, 0, 0, 3, 3, 0, 0, 0, 0, 4);
      return { rope: model.rope, past: documentsPast(model, starts, [2, 5]) };
    };
    const numbers = (shape: readonly number[]) => {
      const n = shape.reduce((product, size) => product * size, 1);
      return tensor(
        backend(),
        Float32Array.from({ length: n }, (_, i) => Math.sin(i)),
        [...shape],
      );
    };

    test.each([null, { type: 'dynamic', factor: 2, originalMaxPositions: 3 } as const])(
      'each document is turned as a text of its own: %j',
      async (scaling) => {
        const { rope: tables, past } = open(scaling);
        const x = numbers([2, 5, h, d]);
        const alone = ([row, from, length]: readonly number[]) =>
          rope(slice(x, [row, from, 0, 0], [1, length, h, d]), tables(length));
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
      },
    );

    test('a token weighs those of its document up to itself, and no other', async () => {
      const { past } = open();
      // Scores are equal: a key head, two query heads; the values are the keys' own numbers.
      const one = Array.from({ length: 25 }, (_, i) => (i % 6 === 0 ? 1 : 0));
      const v = tensor(backend(), [...one, ...one], [2, 5, 1, 5]);
      const k = zeros(backend(), [2, 5, 1, 5]);
      const weights = await past.attend(0, zeros(backend(), [2, 5, 2, 5]), { k, v }).data();
      const seen = (row: number) =>
        Array.from({ length: 5 }, (_, key) => (weights[row * 5 + key] > 0 ? key : -1)).filter(
          (key) => key >= 0,
        );
      const first = [[0], [0, 1], [0, 1, 2], [3], [3, 4]];
      const second = [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [4]];
      const rows = Array.from({ length: 20 }, (_, row) => seen(row));
      expect(rows).toEqual([...first, ...second].flatMap((keys) => [keys, keys]));
      for (let row = 0; row < 20; row++) {
        const own = Array.from(weights.slice(row * 5, row * 5 + 5));
        expect(own.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
      }
    });
  },
  [referenceBackend],
);
