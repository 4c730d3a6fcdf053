import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bootstrapMean } from './bootstrap.ts';

const values = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 1, maxLength: 40 });

describe('the bootstrap of a mean', () => {
  test('gives the quantiles of the binomial distribution for ones and zeros', () => {
    const ones = (c: number, n: number) => Array.from({ length: n }, (_, i) => (i < c ? 1 : 0));
    // Quantiles of the binomial distribution with n = 100 and p = 0.3, and with n = 2 and p = 0.5.
    expect(bootstrapMean(ones(30, 100))).toEqual([0.21, 0.39]);
    expect(bootstrapMean(ones(1, 2))).toEqual([0, 1]);
  });
  test('of one value, or of equal ones, has no width', () => {
    expect(bootstrapMean([0.25])).toEqual([0.25, 0.25]);
    expect(bootstrapMean([0.5, 0.5, 0.5])).toEqual([0.5, 0.5]);
  });
  test('gives the same bits in whatever order the values come', () => {
    fc.assert(
      fc.property(values, (list) => {
        expect(bootstrapMean([...list].reverse())).toEqual(bootstrapMean(list));
      }),
      { numRuns: 20 },
    );
  });
  test('moves and grows with its values', () => {
    fc.assert(
      fc.property(values, (list) => {
        const [low, high] = bootstrapMean(list);
        const [movedLow, movedHigh] = bootstrapMean(list.map((x) => 2 * x + 3));
        expect(movedLow).toBeCloseTo(2 * low + 3, 9);
        expect(movedHigh).toBeCloseTo(2 * high + 3, 9);
        expect(low).toBeLessThanOrEqual(high);
      }),
      { numRuns: 20 },
    );
  });
  test('is as wide as the normal approximation for many values', () => {
    const list = Array.from({ length: 400 }, (_, i) => (i % 5) / 4);
    const [low, high] = bootstrapMean(list);
    const half = 1.96 * Math.sqrt(0.125 / 400);
    expect(Math.abs(low - (0.5 - half))).toBeLessThan(0.0025);
    expect(Math.abs(high - (0.5 + half))).toBeLessThan(0.0025);
  });
  test('refuses no values', () => {
    expect(() => bootstrapMean([])).toThrow(RangeError);
  });
});
