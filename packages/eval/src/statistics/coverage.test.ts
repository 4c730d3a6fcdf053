import { isLong } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import {
  binomial,
  expected,
  type MixtureName,
  mixtureNames,
  outcomesOf,
  populationOf,
  type RelationName,
  relationNames,
  shareOf,
} from '../testing/coverage.ts';
import { differenceInterval } from './difference-interval.ts';
import { mcnemarP } from './mcnemar.ts';
import { meanInterval } from './mean-interval.ts';
import { signFlipP } from './sign-flip.ts';
import { wilsonInterval } from './wilson.ts';

/** Samples a problem, and k, as the issue has them. */
const draws = [1, 10, 20].flatMap((n) => [1, 3, 10].filter((k) => k <= n).map((k) => ({ n, k })));
const sizes = isLong ? [20, 50, 158, 500] : [20, 158];
const runs = isLong ? 4000 : 2000;
/** Three standard errors of a share of 0.95 in so many runs. */
const noise = 3 * Math.sqrt((0.95 * 0.05) / runs);

describe('the interval of pass@k', () => {
  const mixtures: readonly MixtureName[] = isLong ? mixtureNames : ['U-shaped', 'weak', 'strong'];
  const cases = mixtures.flatMap((mixture) => draws.map((draw) => ({ mixture, ...draw })));

  test.each(cases)('covers that of $mixture populations, n = $n, k = $k', ({ mixture, n, k }) => {
    const outcomes = outcomesOf(populationOf(mixture, 'same'), { n, k });
    const truth = expected(outcomes, ({ a }) => a);
    const unlikeEnds = Math.min(
      expected(outcomes, ({ a }) => Number(a > 0)),
      expected(outcomes, ({ a }) => Number(a < 1)),
    );
    for (const problems of sizes) {
      const coverage = shareOf(outcomes, { problems, runs, seed: 7 }, (values) => {
        const [low, high] = meanInterval(values);
        return low <= truth && truth <= high;
      });
      const isRare = problems * unlikeEnds < 5;
      expect.soft(coverage, `${problems} problems`).toBeGreaterThan((isRare ? 0.83 : 0.93) - noise);
      if (!isRare) expect.soft(coverage, `${problems} problems`).toBeLessThan(0.975 + noise);
    }
  });

  test('of one sample a problem covers as the sum over all outcomes says, averaged over true shares', () => {
    for (const problems of [20, 50, 158, 500]) {
      const intervals = Array.from({ length: problems + 1 }, (_, c) => wilsonInterval(c, problems));
      const shares = Array.from({ length: 199 }, (_, i) => (i + 1) / 200);
      const coverages = shares.map((share) =>
        binomial(problems, share).reduce((sum, chance, c) => {
          const [low, high] = intervals[c];
          return low <= share && share <= high ? sum + chance : sum;
        }, 0),
      );
      const mean = coverages.reduce((sum, coverage) => sum + coverage, 0) / coverages.length;
      expect(Math.abs(mean - 0.95)).toBeLessThan(0.005);
      const inside = coverages.filter((_, i) => problems * Math.min(shares[i], 1 - shares[i]) >= 5);
      expect(Math.min(...inside)).toBeGreaterThan(0.92);
      expect(Math.max(...inside)).toBeLessThan(0.98);
    }
  });
});

describe('the interval of a difference', () => {
  const mixtures: readonly MixtureName[] = isLong ? mixtureNames : ['U-shaped', 'weak'];
  const relations: readonly RelationName[] = isLong ? relationNames : ['same', 'better'];
  const cases = mixtures.flatMap((mixture) =>
    relations.flatMap((relation) => draws.map((draw) => ({ mixture, relation, ...draw }))),
  );

  test.each(cases)(
    'covers that of $mixture, $relation systems, n = $n, k = $k',
    ({ mixture, relation, n, k }) => {
      const outcomes = outcomesOf(populationOf(mixture, relation), { n, k });
      const truth = expected(outcomes, ({ a, b }) => b - a);
      const unlike = expected(outcomes, ({ a, b }) => Number(a !== b));
      for (const problems of sizes) {
        const coverage = shareOf(outcomes, { problems, runs, seed: 7 }, (a, b) => {
          const [low, high] = differenceInterval(a, b);
          return low <= truth && truth <= high;
        });
        expect.soft(coverage, `${problems} problems`).toBeGreaterThan(0.93 - noise);
        if (problems * unlike >= 30) {
          expect.soft(coverage, `${problems} problems`).toBeLessThan(0.985 + noise);
        }
      }
    },
  );

  test('of one sample a problem covers as the sum over all outcomes says', () => {
    const problems = 20;
    for (const [onlyB, onlyA, both] of [
      [0.15, 0.15, 0.3],
      [0.3, 0.05, 0.3],
      [0.25, 0, 0.5],
      [0.02, 0.02, 0.5],
      [0.4, 0.4, 0.1],
    ]) {
      const coverage = pairedCoverage(problems, { onlyB, onlyA, both });
      expect(coverage).toBeGreaterThan(0.94);
      if (problems * (onlyA + onlyB) >= 6) expect(coverage).toBeLessThan(0.98);
    }
  });
});

describe('where they do not cover as told:', () => {
  test('an interval of pass@k holds the truth too often where all problems are equally hard', () => {
    for (const chance of [0.02, 0.2, 0.5]) {
      const outcomes = outcomesOf([{ a: chance, b: chance, share: 1 }], { n: 20, k: 1 });
      const coverages = [20, 158].map((problems) =>
        shareOf(outcomes, { problems, runs: 2000, seed: 7 }, (values) => {
          const [low, high] = meanInterval(values);
          return low <= chance && chance <= high;
        }),
      );
      expect(coverages[0]).toBeGreaterThan(0.975);
      expect(coverages[1]).toBeGreaterThan(0.94);
    }
  });
  test('that of a difference too seldom where one or two of 20 problems make all of it', () => {
    const newSkill = [
      { a: 0, b: 0.9, share: 0.08 },
      { a: 0.02, b: 0.02, share: 0.46 },
      { a: 0.98, b: 0.98, share: 0.46 },
    ];
    const outcomes = outcomesOf(newSkill, { n: 20, k: 1 });
    for (const [problems, least] of [
      [20, 0.78],
      [50, 0.89],
      [158, 0.92],
    ]) {
      const coverage = shareOf(outcomes, { problems, runs: 2000, seed: 7 }, (a, b) => {
        const [low, high] = differenceInterval(a, b);
        return low <= 0.072 && 0.072 <= high;
      });
      expect(coverage).toBeGreaterThan(least);
      if (problems === 20) expect(coverage).toBeLessThan(0.85);
    }
  });
});

/** P(the interval holds the truth), over all tables of problems that both, one or neither passes. */
function pairedCoverage(
  problems: number,
  { onlyB, onlyA, both }: { onlyB: number; onlyA: number; both: number },
): number {
  let coverage = 0;
  const ones = (count: number, value: number) => Array<number>(count).fill(value);
  for (const [discordant, chance] of binomial(problems, onlyA + onlyB).entries()) {
    for (const [c, won] of binomial(discordant, onlyB / (onlyA + onlyB)).entries()) {
      const rest = problems - discordant;
      for (const [passed, share] of binomial(rest, both / (1 - onlyA - onlyB)).entries()) {
        const a = [...ones(discordant - c, 1), ...ones(c, 0), ...ones(passed, 1), ...ones(rest - passed, 0)];
        const b = [...ones(discordant - c, 0), ...ones(c, 1), ...ones(passed, 1), ...ones(rest - passed, 0)];
        const [low, high] = differenceInterval(a, b);
        if (low <= onlyB - onlyA && onlyB - onlyA <= high) coverage += chance * won * share;
      }
    }
  }
  return coverage;
}

describe('the tests', () => {
  test("McNemar's finds a difference where there is none in at most 5 % of benchmarks, exactly", () => {
    for (const problems of [20, 50, 158]) {
      for (const rate of [0.02, 0.1, 0.3, 0.7]) {
        let found = 0;
        for (const [discordant, chance] of binomial(problems, rate).entries()) {
          for (const [onlyA, split] of binomial(discordant, 0.5).entries()) {
            if (mcnemarP(onlyA, discordant - onlyA) <= 0.05) found += chance * split;
          }
        }
        expect(found).toBeLessThanOrEqual(0.05);
      }
    }
  });
  const tries = isLong ? 400 : 60;
  const most = (share: number) => share + 3 * Math.sqrt((share * (1 - share)) / tries);

  test.each([
    ['U-shaped', 'same'],
    ['weak', 'same'],
    ['strong', 'unlike'],
  ] as const)(
    'the permutation test finds one in at most 5 %: %s, %s',
    (mixture, relation) => {
      const outcomes = outcomesOf(populationOf(mixture, relation), { n: 10, k: 1 });
      const found = shareOf(outcomes, { problems: 50, runs: tries, seed: 3 }, (a, b) => {
        return signFlipP(b.map((value, i) => value - a[i])) <= 0.05;
      });
      expect(found).toBeLessThan(most(0.05));
    },
    600_000,
  );
  test('the permutation test finds more where b loses much on few problems and gains little on many', () => {
    const lopsided = [
      { a: 0.95, b: 0.05, share: 0.1 },
      { a: 0.4, b: 0.5, share: 0.9 },
    ];
    const outcomes = outcomesOf(lopsided, { n: 20, k: 1 });
    expect(expected(outcomes, ({ a, b }) => b - a)).toBeCloseTo(0, 12);
    for (const [problems, share] of isLong
      ? [
          [20, 0.11],
          [50, 0.07],
          [158, 0.06],
        ]
      : [[50, 0.07]]) {
      const found = shareOf(outcomes, { problems, runs: tries, seed: 3 }, (a, b) => {
        return signFlipP(b.map((value, i) => value - a[i])) <= 0.05;
      });
      expect.soft(found, `${problems} problems`).toBeLessThan(most(share));
    }
  }, 600_000);
});
