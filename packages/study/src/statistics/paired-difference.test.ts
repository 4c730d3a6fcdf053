import { randomOf } from '@flex/eval/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { detectableDifference, powerOf } from './detectable-difference.ts';
import { criticalDifference, pairedDifference } from './paired-difference.ts';
import { studentQuantile, studentTail } from './student-t.ts';

const losses = { isShare: false };
/** Of few digits, so that what is equal is so to the bit. */
const entry = fc.integer({ min: -40, max: 40 }).map((eighths) => eighths / 8);
const tables = fc
  .tuple(fc.integer({ min: 2, max: 6 }), fc.integer({ min: 2, max: 12 }))
  .chain(([S, N]) =>
    fc.array(fc.array(entry, { minLength: N, maxLength: N }), { minLength: S, maxLength: S }),
  );

describe('a difference over seeds and examples', () => {
  test("is Student's over seeds where examples do not differ, and over examples where seeds do not", () => {
    const seeds = [0.1, 0.4, 0.25];
    const error = 0.15 / Math.sqrt(3);
    const bySeeds = pairedDifference(
      seeds.map((d) => [d, d, d, d]),
      losses,
    );
    expect(bySeeds.value).toBeCloseTo(0.25, 12);
    expect(bySeeds.ci95[1] - 0.25).toBeCloseTo(4.30265273 * error, 8);
    expect(bySeeds.p).toBeCloseTo(studentTail(0.25 / error, 2), 8);
    const byExamples = pairedDifference([seeds, seeds, seeds, seeds], losses);
    expect(byExamples.ci95[1] - 0.25).toBeCloseTo(4.30265273 * error, 8);
    expect(byExamples.p).toBeCloseTo(studentTail(0.25 / error, 2), 8);
    expect(byExamples.parts.seeds.variance).toBe(0);
  });
  test('has the parts of an analysis of variance', () => {
    // Sums of squares by hand: means of rows 2 and 4, of columns 2, 3 and 4, of all 3.
    const { parts, value } = pairedDifference(
      [
        [1, 3, 2],
        [3, 3, 6],
      ],
      losses,
    );
    expect(value).toBe(3);
    // MS of seeds 3·(1 + 1)/1 = 6, of examples 2·(1 + 0 + 1)/2 = 2, of the rest (0 + 1 + 1 + 0 + 1 + 1)/2 =
    // 2.
    expect(parts.seeds).toEqual({ variance: 1, df: 1 });
    expect(parts.examples.variance).toBeCloseTo(0, 12);
  });
  test('turns with its sign, scales, and does not depend on the order of seeds and examples', () => {
    fc.assert(
      fc.property(tables, fc.constantFrom(0.25, 2, 64), (table, factor) => {
        const one = pairedDifference(table, losses);
        const other = pairedDifference(
          table.map((row) => row.map((d) => -factor * d).reverse()).reverse(),
          losses,
        );
        expect(other.value).toBeCloseTo(-factor * one.value, 6);
        expect(other.ci95[0]).toBeCloseTo(-factor * one.ci95[1], 6);
        expect(other.p).toBeCloseTo(one.p, 6);
      }),
    );
  });
  test('the test never finds what the interval does not', () => {
    fc.assert(
      fc.property(tables, fc.boolean(), (table, isShare) => {
        const { ci95, p } = pairedDifference(table, { isShare });
        if (p < 0.05) expect(ci95[0] > 0 || ci95[1] < 0).toBe(true);
      }),
    );
  });
  test('p is the level at which the difference is critical', () => {
    fc.assert(
      fc.property(tables, (table) => {
        const { value, p, parts } = pairedDifference(table, losses);
        fc.pre(p > 1e-14 && p < 1);
        expect(criticalDifference(parts, Math.min(1, p * (1 + 1e-8)))).toBeLessThanOrEqual(Math.abs(value));
        expect(criticalDifference(parts, p * (1 - 1e-8))).toBeGreaterThan(Math.abs(value));
      }),
    );
  });
  test('of nothing is nothing, but of shares as much as one more problem could say', () => {
    const nothing = [
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ];
    expect(pairedDifference(nothing, losses)).toMatchObject({ value: 0, ci95: [0, 0], p: 1 });
    const { ci95, p, parts } = pairedDifference(nothing, { isShare: true });
    expect(parts.examples.variance).toBeCloseTo(1 / 16, 12);
    expect(parts.seeds.variance).toBeCloseTo(1 / 16 / 12 / 2, 12);
    expect(ci95[1]).toBeGreaterThan(studentQuantile(0.05, 3) / 4);
    expect(p).toBe(1);
    expect(detectableDifference(pairedDifference(nothing, losses).parts, 0.05)).toBeNull();
  });
  test('shares that two seeds reach on other problems, the same by chance, have a width', () => {
    const row = (from: number) => Array.from({ length: 50 }, (_, i) => Number(i >= from && i < from + 5));
    const { value, ci95, p } = pairedDifference([row(0), row(5)], { isShare: true });
    expect(value).toBeCloseTo(0.1, 12);
    // Of seeds alone: Student's of one degree of freedom with an error of 1/(50·√24).
    expect(ci95[1] - value).toBeCloseTo(studentQuantile(0.05, 1) / 50 / Math.sqrt(24), 10);
    expect(p).toBeCloseTo(studentTail(0.1 * 50 * Math.sqrt(24), 1), 8);
  });
  test('refuses one seed, one example, and ragged tables', () => {
    for (const table of [[], [[1, 2]], [[1], [2]], [[1, 2], [1]]]) {
      expect(() => pairedDifference(table, losses)).toThrow(RangeError);
    }
  });
});

describe('the detectable difference', () => {
  const bySeeds = { seeds: { variance: 1, df: 2 }, examples: { variance: 0, df: 89 } };
  test("has the power of the noncentral Student's test where one part is all there is", () => {
    // SciPy 1.17: the root of 1 − nct.cdf(t, df, δ) = 0.8.
    expect(detectableDifference(bySeeds, 0.05)).toBeCloseTo(5.65349, 3);
    const byExamples = { seeds: { variance: 0, df: 2 }, examples: { variance: 1, df: 1e5 } };
    expect(detectableDifference(byExamples, 0.05)).toBeCloseTo(1.95996 + 0.84162, 3);
    expect(powerOf(bySeeds, 0.05)(0)).toBeCloseTo(0.025, 4);
  });
  test('is found by the test 80 % of times, by simulation of parts of both', () => {
    const parts = { seeds: { variance: 0.4, df: 2 }, examples: { variance: 0.6, df: 89 } };
    const level = 0.05 / 6;
    const δ = detectableDifference(parts, level)!;
    const { normal } = randomOf(11);
    const runs = 4000;
    const [ofSeeds, ofExamples] = [2, 89].map((df) => studentQuantile(level, df) ** 2);
    let found = 0;
    for (let run = 0; run < runs; run++) {
      const chi = (normal() ** 2 + normal() ** 2) / 2;
      if (δ + normal() >= Math.sqrt(ofSeeds * 0.4 * chi + ofExamples * 0.6)) found++;
    }
    expect(Math.abs(found / runs - 0.8)).toBeLessThan(3 * Math.sqrt(0.16 / runs));
  });
  test('grows with the spread in proportion, and as the level falls', () => {
    const twice = { seeds: { variance: 4, df: 2 }, examples: { variance: 0, df: 89 } };
    expect(detectableDifference(twice, 0.05)! / detectableDifference(bySeeds, 0.05)!).toBeCloseTo(2, 5);
    expect(detectableDifference(bySeeds, 0.01)!).toBeGreaterThan(detectableDifference(bySeeds, 0.05)!);
  });
});
