import { describe, expect, test } from 'vitest';
import { argmax, max, ShapeError, tensor } from '../index.ts';
import { describeEachBackend } from '../testing/index.ts';
import { lastGradients } from '../testing/last-gradients.ts';

describe('max', () => {
  describeEachBackend((backend) => {
    test('reduces axes that are not neighbours, and keeps them as ones when told to', async () => {
      const x = tensor(
        backend(),
        Float32Array.from({ length: 24 }, (_, i) => (i * 7) % 24),
        [2, 3, 4],
      );
      const largest = max(x, { axes: [0, -1], keepDims: true });
      expect(largest.shape).toEqual([1, 3, 1]);
      expect(Array.from(await largest.data())).toEqual([21, 23, 22]);
      expect(await max(x).item()).toBe(23);
    });

    test('equal elements share the gradient evenly', async () => {
      // A whole middle axis of [2, 3, 1]: max is one op on it, and the reshapes around it do nothing.
      const x = tensor(backend(), [1, 3, 3, -1, -1, -1], [2, 3, 1]);
      const g = tensor(backend(), [1, 6], [2, 1]);
      expect(await lastGradients(() => max(x, { axes: [1] }), g)).toEqual([[0, 0.5, 0.5, 2, 2, 2]]);
    });

    test('argmax finds the first of equal elements, wherever in a long row it is', async () => {
      const n = 1000;
      const places = [0, 1, 7, 63, 64, 500, 998];
      const data = new Float32Array(places.length * n).fill(-5);
      places.forEach((at, row) => {
        data[row * n + at] = -1;
        data[row * n + n - 1] = -1;
      });
      const found = argmax(tensor(backend(), data, [1, places.length, n]));
      expect(found.shape).toEqual([1, places.length]);
      expect(Array.from(await found.data())).toEqual(places);
    });

    test('an axis without elements has no largest', () => {
      const empty = tensor(backend(), [], [2, 0]);
      expect(() => max(empty, { axes: [1] })).toThrow(ShapeError);
      expect(() => argmax(empty)).toThrow('argmax: needs [.., n] with n > 0, got f32[2, 0]');
    });
  });
});
