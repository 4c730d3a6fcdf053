import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { criticalCount, mcnemarP } from './mcnemar.ts';

/** Counts all ways in which fair coins may fall that are at least as lopsided: the definition. */
function byEnumeration(onlyA: number, onlyB: number): number {
  const draws = onlyA + onlyB;
  let extreme = 0;
  for (let mask = 0; mask < 2 ** draws; mask++) {
    const heads = mask.toString(2).replaceAll('0', '').length;
    if (Math.abs(2 * heads - draws) >= Math.abs(onlyA - onlyB)) extreme++;
  }
  return extreme / 2 ** draws;
}

describe("McNemar's exact test", () => {
  test('is the share of outcomes at least as lopsided', () => {
    const counts = fc.integer({ min: 0, max: 6 });
    fc.assert(
      fc.property(counts, counts, (onlyA, onlyB) => {
        expect(mcnemarP(onlyA, onlyB)).toBe(byEnumeration(onlyA, onlyB));
      }),
    );
  });
  test('has its known values', () => {
    expect(mcnemarP(0, 0)).toBe(1);
    expect(mcnemarP(1, 7)).toBe(18 / 256);
    expect(mcnemarP(0, 6)).toBe(1 / 32);
    expect(mcnemarP(5, 17)).toBeCloseTo(0.0169005393981933, 15);
  });
  test('does not care which came first, and shrinks as the split grows uneven', () => {
    fc.assert(
      fc.property(fc.nat(400), fc.nat(400), (onlyA, onlyB) => {
        expect(mcnemarP(onlyA, onlyB)).toBe(mcnemarP(onlyB, onlyA));
        if (onlyA > 0 && onlyA <= onlyB) {
          expect(mcnemarP(onlyA - 1, onlyB + 1)).toBeLessThan(mcnemarP(onlyA, onlyB) + 1e-15);
        }
      }),
    );
  });
  test('stays exact for thousands of pairs', () => {
    expect(mcnemarP(2500, 2500)).toBe(1);
    // The normal approximation with continuity correction: 2·(1 − Φ(99 / √5000)).
    expect(mcnemarP(2450, 2550)).toBeCloseTo(0.16152, 4);
    expect(mcnemarP(0, 900)).toBe(2 ** -899);
    expect(mcnemarP(0, 5000)).toBe(0);
  });
  test.each([
    [-1, 3],
    [1.5, 3],
    [3, Number.NaN],
  ])('refuses %s and %s', (onlyA, onlyB) => {
    expect(() => mcnemarP(onlyA, onlyB)).toThrow(RangeError);
  });
});

describe('the critical count', () => {
  test('is the last at which p is at most 0.05', () => {
    for (let discordant = 0; discordant <= 300; discordant++) {
      const critical = criticalCount(discordant);
      if (critical >= 0) expect(mcnemarP(critical, discordant - critical)).toBeLessThanOrEqual(0.05);
      expect(mcnemarP(critical + 1, Math.max(critical + 1, discordant - critical - 1))).toBeGreaterThan(0.05);
    }
  });
  test('does not exist below 6 pairs', () => {
    expect([0, 1, 5, 6, 8, 9, 22].map(criticalCount)).toEqual([-1, -1, -1, 0, 0, 1, 5]);
  });
});
