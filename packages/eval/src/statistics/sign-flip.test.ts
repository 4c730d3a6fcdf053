import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mcnemarP } from './mcnemar.ts';
import { signFlipP } from './sign-flip.ts';

/** Goes through every pattern of signs: the definition. `tenths` are whole, so that sums are exact. */
function byEnumeration(tenths: readonly number[]): number {
  const seen = Math.abs(tenths.reduce((sum, d) => sum + d, 0));
  let extreme = 0;
  for (let mask = 0; mask < 2 ** tenths.length; mask++) {
    const sum = tenths.reduce((total, d, i) => total + (mask & (1 << i) ? d : -d), 0);
    if (Math.abs(sum) >= seen) extreme++;
  }
  return extreme / 2 ** tenths.length;
}

/** Five standard errors of a share estimated from 100,000 draws. */
const tolerance = 5 * Math.sqrt(0.25 / 100_000);

describe('the paired permutation test', () => {
  test('estimates the share of sign patterns that are at least as far from zero', () => {
    const tenths = fc.array(fc.integer({ min: -10, max: 10 }), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(tenths, (list) => {
        const p = signFlipP(list.map((d) => d / 10));
        expect(Math.abs(p - byEnumeration(list))).toBeLessThan(tolerance);
      }),
      { numRuns: 30 },
    );
  });
  test("estimates McNemar's exact test where differences are ±1, for more than the bits of a draw", () => {
    for (const [onlyA, onlyB] of [
      [5, 17],
      [40, 60],
      [12, 9],
    ]) {
      const differences = [...Array<number>(onlyA).fill(-1), ...Array<number>(onlyB).fill(1), 0, 0];
      expect(Math.abs(signFlipP(differences) - mcnemarP(onlyA, onlyB))).toBeLessThan(tolerance);
    }
  });
  test('does not care about order, which system came first, or problems without a difference', () => {
    const differences = [0.5, -0.25, 0.75, 0.125, -0.5, 1, 0.25];
    const p = signFlipP(differences);
    expect(signFlipP([...differences].reverse())).toBe(p);
    expect(signFlipP(differences.map((d) => -d))).toBe(p);
    expect(signFlipP([0, ...differences, 0])).toBe(p);
  });
  test('takes sums that are equal but for rounding as equal', () => {
    expect(signFlipP([0.1, 0.2, -0.3])).toBe(1);
    expect(Math.abs(signFlipP([0.1, 0.2, 0.3]) - 0.25)).toBeLessThan(tolerance);
  });
  test('is never zero, and 1 without differences', () => {
    expect(signFlipP(Array<number>(60).fill(0.5))).toBe(1 / 100_001);
    expect(signFlipP([0, 0])).toBe(1);
    expect(signFlipP([])).toBe(1);
  });
});
