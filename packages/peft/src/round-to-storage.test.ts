import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { roundToStorage, type StorageType, storageTypes } from './round-to-storage.ts';

const round = (w: readonly number[] | Float32Array, storage: StorageType, columns = w.length) =>
  roundToStorage(Float32Array.from(w), { name: 'w', columns, storage });
const floats = (rows: number, columns: number) =>
  fc.array(fc.float({ min: -8, max: 8, noNaN: true }), {
    minLength: rows * columns,
    maxLength: rows * columns,
  });

/** The standard normal distribution's quantile, by halving, from the series of its distribution function. */
function quantile(p: number): number {
  const below = (x: number): number => {
    let [term, sum] = [x, x];
    for (let n = 3; Math.abs(term) > 1e-18; n += 2) {
      term *= (x * x) / n;
      sum += term;
    }
    return 0.5 + (sum * Math.exp(-(x * x) / 2)) / Math.sqrt(2 * Math.PI);
  };
  let [low, high] = [-5, 5];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (below(middle) < p) low = middle;
    else high = middle;
  }
  return low;
}

describe('nf4', () => {
  it('has the 16 values of QLoRA’s definition: quantiles between 1 − o and o, o = 0.9677083, and an exact 0', () => {
    const o = 0.9677083;
    const between = (n: number) => Array.from({ length: n }, (_, i) => quantile(o + ((0.5 - o) * i) / n));
    const [negative, positive] = [between(7).map((x) => -x), between(8)];
    const values = [...negative, 0, ...positive.reverse()].map((x) => x / positive.at(-1)!);
    // Each value by itself stays, beside the largest that gives the block its scale.
    for (const value of values) expect(round([1, value], 'nf4')[1]).toBeCloseTo(value, 5);
    const all = round(
      Float32Array.from({ length: 2000 }, (_, i) => i / 1000 - 1),
      'nf4',
      2000,
    );
    const reached = new Set([...all].map((x) => x.toFixed(3)));
    expect(reached.size).toBeGreaterThanOrEqual(16);
  });

  it('takes the nearest value, with a scale for each 64 numbers whatever the rows are', () => {
    const values = [
      ...new Set(
        round(
          Float32Array.from({ length: 64 }, (_, i) => i / 31.5 - 1),
          'nf4',
        ),
      ),
    ];
    expect(values).toHaveLength(16);
    fc.assert(
      fc.property(floats(3, 48), (w) => {
        const stored = round(w, 'nf4', 48);
        for (let at = 0; at < w.length; at += 64) {
          const block = w.slice(at, at + 64);
          const largest = Math.max(...block.map(Math.abs));
          const isNearest = (x: number, i: number) => {
            const least = Math.min(...values.map((value) => Math.abs(value * largest - x)));
            return Math.abs(stored[at + i] - x) <= least + 1e-6 * largest;
          };
          expect(block.every(isNearest)).toBe(true);
        }
      }),
    );
  });

  it('gives pieces of 64 rows what it gives the whole', () => {
    const w = Float32Array.from({ length: 128 * 3 }, (_, i) => Math.sin(7 * i));
    const pieces = [0, 64 * 3].map((at) => [...round(w.subarray(at, at + 64 * 3), 'nf4', 3)]);
    expect(pieces.flat()).toEqual([...round(w, 'nf4', 3)]);
  });
});

describe('int8', () => {
  it('has known values: a scale a row, halves to even', () => {
    expect([...round([127, 2.5, 3.5, -0.4, 0, 254, 5, -3], 'int8', 4)]).toEqual([
      127, 2, 4, 0, 0, 254, 4, -4,
    ]);
  });

  it('is within half a step of each number, and keeps the largest of a row', () => {
    fc.assert(
      fc.property(floats(3, 5), (w) => {
        const stored = round(w, 'int8', 5);
        for (let row = 0; row < 3; row++) {
          const numbers = w.slice(5 * row, 5 * row + 5);
          const largest = Math.max(...numbers.map(Math.abs));
          const half = (largest / 254) * (1 + 1e-5) + 1e-43;
          expect(numbers.every((x, i) => Math.abs(stored[5 * row + i] - x) <= half)).toBe(true);
        }
      }),
    );
  });

  it('of numbers too small for a scale is 0', () => {
    expect([...round([1e-44, 0], 'int8')]).toEqual([0, 0]);
  });
});

it('f16 and bf16 have known values: nearest, halves to even', () => {
  const between = 1 + 2 ** -11;
  expect([...round([between, 1 + 3 * 2 ** -11, 65519, 1e-8], 'f16')]).toEqual([1, 1 + 2 ** -9, 65504, 0]);
  expect([...round([1 + 2 ** -8, 1 + 3 * 2 ** -8, 70000], 'bf16')]).toEqual([1, 1 + 2 ** -6, 70144]);
});

it('rounding what is rounded changes nothing, but int8’s by its scale', () => {
  fc.assert(
    fc.property(floats(2, 32), (w) => {
      for (const storage of storageTypes) {
        const once = round(w, storage, 32);
        const twice = round(once, storage, 32);
        const most = storage === 'int8' ? 1e-6 : 0;
        expect(once.every((x, i) => Math.abs(twice[i] - x) <= most)).toBe(true);
      }
    }),
  );
});

it('a finite number that f16 cannot hold is refused with its tensor; infinity stays', () => {
  expect(() => round([1, -65520], 'f16')).toThrow(
    'tensor "w" would hold -65520, and the largest f16 is 65504',
  );
  expect(() => round([3.4e38], 'bf16')).toThrow('the largest bf16 is about 3.39e38');
  expect([...round([Number.POSITIVE_INFINITY, 65519.99], 'f16')]).toEqual([Number.POSITIVE_INFINITY, 65504]);
  expect(round([3.389e38], 'bf16')[0]).toBeLessThan(Number.POSITIVE_INFINITY);
});
