import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { meanPassAtK, passAtK } from './pass-at-k.ts';

/** Counts every way of drawing k of n samples: the definition. */
function byEnumeration(n: number, c: number, k: number): number {
  let draws = 0;
  let hits = 0;
  for (let mask = 0; mask < 2 ** n; mask++) {
    const drawn = [...Array(n).keys()].filter((i) => mask & (1 << i));
    if (drawn.length !== k) continue;
    draws++;
    if (drawn.some((i) => i < c)) hits++;
  }
  return hits / draws;
}

const counts = (largest: number) =>
  fc
    .integer({ min: 1, max: largest })
    .chain((n) =>
      fc.record({ n: fc.constant(n), c: fc.integer({ min: 0, max: n }), k: fc.integer({ min: 1, max: n }) }),
    );

describe('pass@k', () => {
  test('equals the share of all draws that hold a pass', () => {
    fc.assert(
      fc.property(counts(9), ({ n, c, k }) => {
        expect(passAtK(n, c, k)).toBeCloseTo(byEnumeration(n, c, k), 12);
      }),
    );
  });
  test('of one draw is the share that passed', () => {
    fc.assert(
      fc.property(counts(300), ({ n, c }) => {
        expect(passAtK(n, c, 1)).toBeCloseTo(c / n, 12);
      }),
    );
  });
  test('grows with k', () => {
    fc.assert(
      fc.property(counts(200), ({ n, c, k }) => {
        if (k < n) expect(passAtK(n, c, k + 1)).toBeGreaterThanOrEqual(passAtK(n, c, k) - 1e-12);
      }),
    );
  });
  test('is exact at known values, and finite for many samples', () => {
    expect(passAtK(10, 0, 5)).toBe(0);
    expect(passAtK(10, 10, 1)).toBe(1);
    expect(passAtK(5, 1, 2)).toBeCloseTo(0.4, 12);
    expect(passAtK(100_000, 3, 100)).toBeCloseTo(1 - 0.999 ** 3, 5);
  });
  test.each([
    [3, 4, 1],
    [3, -1, 1],
    [3, 1, 0],
    [3, 1, 4],
    [3.5, 1, 1],
  ])('refuses n=%s c=%s k=%s', (n, c, k) => {
    expect(() => passAtK(n, c, k)).toThrow(RangeError);
  });
  test('of a benchmark is the mean over its problems', () => {
    expect(
      meanPassAtK(
        [
          { n: 2, c: 1 },
          { n: 4, c: 4 },
        ],
        1,
      ),
    ).toBeCloseTo(0.75, 12);
    expect(() => meanPassAtK([], 1)).toThrow(RangeError);
  });
});
