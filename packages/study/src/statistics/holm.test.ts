import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { holm } from './holm.ts';

const ps = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

/** The procedure as it is told: reject from the smallest on while p ≤ α/(m − i + 1). */
function rejected(values: readonly number[], level: number): boolean[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const out = values.map(() => false);
  for (const [rank, i] of order.entries()) {
    if (values[i] * (values.length - rank) > level) break;
    out[i] = true;
  }
  return out;
}

describe("Holm's correction", () => {
  test('of known values', () => {
    const corrected = holm([0.01, 0.04, 0.03, 0.005]);
    expect(corrected.map((p) => Number(p.toPrecision(12)))).toEqual([0.03, 0.06, 0.06, 0.02]);
    expect(holm([])).toEqual([]);
    expect(holm([0.2])).toEqual([0.2]);
    expect(holm([0.6, 0.7])).toEqual([1, 1]);
  });
  test('rejects at each level what the step-down procedure does', () => {
    fc.assert(
      fc.property(ps, fc.constantFrom(0.01, 0.05, 0.2), (values, level) => {
        expect(holm(values).map((p) => p <= level)).toEqual(rejected(values, level));
      }),
    );
  });
  test('is between the p-values and those of Bonferroni, in the same order', () => {
    fc.assert(
      fc.property(ps, (values) => {
        const corrected = holm(values);
        for (const [i, p] of corrected.entries()) {
          expect(p).toBeGreaterThanOrEqual(values[i]);
          expect(p).toBeLessThanOrEqual(Math.min(1, values.length * values[i]));
          for (const [j, q] of corrected.entries()) {
            if (values[i] < values[j]) expect(p).toBeLessThanOrEqual(q);
          }
        }
      }),
    );
  });
});
