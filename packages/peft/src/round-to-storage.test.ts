import { DataError } from '@flex/base';
import { dequantize, quantize } from '@flex/tensor';
import fc from 'fast-check';
import { expect, it, test } from 'vitest';
import { newStorageLoss, type StorageType, storageTypes, storedNumbers } from './round-to-storage.ts';

/** The numbers of a weight, `rows` of them a piece. */
function stored(w: readonly number[] | Float32Array, storage: StorageType, columns = w.length, rows = 64) {
  const numbers = Float32Array.from(w);
  const pieces = Array.from({ length: Math.ceil(w.length / columns / rows) }, (_, i) =>
    numbers.subarray(i * rows * columns, (i + 1) * rows * columns),
  );
  const shape = [w.length / columns, columns];
  const found = [...storedNumbers({ name: 'w', shape, storage }, pieces)];
  for (const piece of found) expect(piece.length).toBeLessThanOrEqual(rows * columns);
  return found.flatMap((piece) => [...piece]);
}

const weights = fc
  .record({ rows: fc.integer({ min: 1, max: 200 }), eights: fc.integer({ min: 1, max: 3 }), seed: fc.nat() })
  .map(({ rows, eights, seed }) => ({
    columns: 8 * eights,
    shape: [rows, 8 * eights],
    w: Float32Array.from({ length: rows * 8 * eights }, (_, i) => Math.sin(i * i + seed) * (1 + (i % 7))),
  }));

test.each(['int8', 'nf4'] as const)(
  '%s has the numbers of model.quantize, bit for bit, in any pieces',
  (storage) => {
    fc.assert(
      fc.property(weights, fc.constantFrom(64, 128, 192), ({ columns, shape, w }, rows) => {
        const spec = { shape, dtype: storage };
        expect(stored(w, storage, columns, rows)).toEqual([...dequantize(spec, quantize(spec, [w]))]);
      }),
    );
  },
);

test.each(storageTypes)('what %s loses is the distance of what is stored', (storage) => {
  fc.assert(
    fc.property(weights, ({ columns, shape, w }) => {
      const exact = Float64Array.from(w, (x, i) => x * (1 + 1e-9 * Math.cos(i)));
      const loss = newStorageLoss({ name: 'w', shape, storage });
      for (const [from, to] of [
        [0, 64 * columns],
        [64 * columns, w.length],
      ]) {
        loss.add(w.subarray(from, to), exact.subarray(from, to));
      }
      const direct = Math.hypot(...stored(w, storage, columns).map((x, i) => x - exact[i]));
      expect(Math.abs(loss.end() - direct)).toBeLessThanOrEqual(1e-5 * direct);
    }),
    { numRuns: 30 },
  );
});

it('int8 has known values: a scale a row, halves to even; of numbers too small for a scale it is 0', () => {
  const rows = [127, 2.5, 3.5, -0.4, 0, 1, 1, 1, 0, 254, 5, -3, 0, 0, 0, 0];
  expect(stored(rows, 'int8', 8)).toEqual([127, 2, 4, 0, 0, 1, 1, 1, 0, 254, 4, -4, 0, 0, 0, 0]);
  expect(stored([1e-44, 0, 0, 0, 0, 0, 0, 0], 'int8')).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
});

it('f16 and bf16 have known values: nearest, halves to even', () => {
  const between = 1 + 2 ** -11;
  expect(stored([between, 1 + 3 * 2 ** -11, 65519, 1e-8], 'f16')).toEqual([1, 1 + 2 ** -9, 65504, 0]);
  expect(stored([1 + 2 ** -8, 1 + 3 * 2 ** -8, 70000], 'bf16')).toEqual([1, 1 + 2 ** -6, 70144]);
});

it('rounding to a floating-point type what is rounded changes nothing', () => {
  fc.assert(
    fc.property(weights, ({ columns, w }) => {
      for (const storage of ['f32', 'f16', 'bf16'] as const) {
        const once = stored(w, storage, columns);
        expect(stored(once, storage, columns)).toEqual(once);
      }
    }),
  );
});

it('a finite number that f16 cannot hold is refused with its tensor; infinity stays', () => {
  expect(() => stored([1, -65520], 'f16')).toThrow(
    'tensor "w" would hold -65520, and the largest f16 is 65504',
  );
  expect(() => stored([3.4e38], 'bf16')).toThrow('the largest bf16 is about 3.39e38');
  expect(stored([Number.POSITIVE_INFINITY, 65519.99], 'f16')).toEqual([Number.POSITIVE_INFINITY, 65504]);
  expect(stored([3.389e38], 'bf16')[0]).toBeLessThan(Number.POSITIVE_INFINITY);
});

it('what int8 and nf4 have no code for is refused with its tensor', () => {
  const infinite = [1, 2, 3, Number.POSITIVE_INFINITY, 5, 6, 7, 8];
  for (const storage of ['int8', 'nf4'] as const) {
    const refused = (words: string) => new DataError(`tensor "w": ${storage}: ${words}`);
    expect(() => stored(infinite, storage)).toThrow(refused('has no code for infinity'));
    const columns = 'needs rows of a multiple of 8 elements, got 12';
    expect(() => stored(new Float32Array(24), storage, 12)).toThrow(refused(columns));
  }
});
