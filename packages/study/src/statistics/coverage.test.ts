import { randomOf } from '@flex/eval/testing';
import { isLong } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import {
  type Odds,
  simulatedPasses,
  simulatedTable,
  skewed,
  sourceCells,
} from '../testing/simulated-tables.ts';
import { criticalDifference, type DifferenceTable, pairedDifference } from './paired-difference.ts';

const runs = isLong ? 5000 : 250;
/** Three standard errors of a share in so many runs. */
const noise = (share: number) => 3 * Math.sqrt((share * (1 - share)) / runs);
const cells = isLong ? sourceCells : sourceCells.filter((_, i) => [0, 1, 2, 3, 10].includes(i));
/** A comparison's level in a family of 24. */
const corrected = 0.05 / 24;

/** How often the interval holds the truth, and the test finds another, at 0.05 and at a corrected level. */
function rates(truth: number, isShare: boolean, draw: () => DifferenceTable) {
  let [held, found, foundCorrected] = [0, 0, 0];
  for (let run = 0; run < runs; run++) {
    const { value, ci95, parts } = pairedDifference(draw(), { isShare });
    if (ci95[0] <= truth && truth <= ci95[1]) held++;
    if (Math.abs(value - truth) >= criticalDifference(parts, 0.05)) found++;
    if (Math.abs(value - truth) >= criticalDifference(parts, corrected)) foundCorrected++;
  }
  return { coverage: held / runs, found: found / runs, foundCorrected: foundCorrected / runs };
}

describe('a difference of losses', () => {
  test.each([3, 5, 10])('covers at 95 ± 2 % with %i seeds, and is found too often at no level', (S) => {
    for (const sources of cells) {
      const random = randomOf(5);
      const rate = rates(0, false, () => simulatedTable(sources, { S, N: 90, shape: 'normal' }, random));
      const at = JSON.stringify({ ...sources, ...rate });
      expect.soft(rate.coverage, at).toBeGreaterThan(0.93 - noise(0.95));
      expect.soft(rate.coverage, at).toBeLessThan(0.97 + noise(0.97));
      expect.soft(rate.found, at).toBeLessThan(0.05 + noise(0.05));
      expect.soft(rate.foundCorrected, at).toBeLessThan(corrected + noise(corrected) + 1 / runs);
    }
  });
  test('covers at 91 to 98 % with two seeds', () => {
    for (const sources of cells) {
      const random = randomOf(6);
      const rate = rates(0, false, () => simulatedTable(sources, { S: 2, N: 90, shape: 'normal' }, random));
      const at = JSON.stringify({ ...sources, ...rate });
      expect.soft(rate.coverage, at).toBeGreaterThan(0.91 - noise(0.91));
      expect.soft(rate.coverage, at).toBeLessThan(0.98 + noise(0.98));
      expect.soft(rate.found, at).toBeLessThan(0.05 + noise(0.05));
    }
  });
  test('covers at 90 % or more of 16 examples whose differences are skewed', () => {
    for (const sources of cells) {
      const random = randomOf(7);
      const rate = rates(0, false, () => simulatedTable(sources, { S: 3, N: 16, shape: 'skewed' }, random));
      expect.soft(rate.coverage, JSON.stringify({ ...sources, ...rate })).toBeGreaterThan(0.9 - noise(0.9));
    }
  });
});

describe('a difference of pass@1', () => {
  const kinds: readonly Odds[] = ['half', 'weak', 'uneven'];
  const grid = kinds.flatMap((kind) =>
    (isLong ? [0, 0.3, 1] : [0.3]).flatMap((seedOdds) =>
      (isLong ? [3, 5] : [3]).flatMap((S) =>
        (isLong ? [50, 164] : [164]).map((N) => ({ kind, seedOdds, S, N })),
      ),
    ),
  );
  test.each(grid)('covers at 95 ± 3 %: $kind, seeds $seedOdds, S = $S, N = $N', ({ kind, ...options }) => {
    const random = randomOf(8);
    const rate = rates(0, true, () => simulatedPasses(kind, { ...options, gain: 0 }, random));
    expect.soft(rate.coverage, JSON.stringify(rate)).toBeGreaterThan(0.93 - noise(0.93));
    expect.soft(rate.coverage, JSON.stringify(rate)).toBeLessThan(0.98 + noise(0.98));
    expect.soft(rate.found, JSON.stringify(rate)).toBeLessThan(0.05 + noise(0.05));
  });
  test('two seeds that give the same by chance are not taken for seeds that decide nothing', () => {
    for (const kind of kinds) {
      const random = randomOf(10);
      const options = { S: 2, N: 50, seedOdds: 0.3, gain: 0 };
      const rate = rates(0, true, () => simulatedPasses(kind, options, random));
      expect.soft(rate.coverage, JSON.stringify(rate)).toBeGreaterThan(0.92 - noise(0.92));
      expect.soft(rate.found, JSON.stringify(rate)).toBeLessThan(0.05 + noise(0.05));
      expect.soft(rate.foundCorrected, JSON.stringify(rate)).toBeLessThan(corrected + noise(corrected));
    }
  });
  test('covers where one arm is better', () => {
    const options = { S: 3, N: 164, gain: 0.5, seedOdds: 0.3 };
    const random = randomOf(9);
    const many = { ...options, S: 10, N: 10_000 };
    const means = Array.from({ length: 4 }, () => simulatedPasses('half', many, random)).flat();
    const truth = means.flat().reduce((sum, d) => sum + d, 0) / means.flat().length;
    expect(truth).toBeGreaterThan(0.05);
    const rate = rates(truth, true, () => simulatedPasses('half', options, random));
    expect(Math.abs(rate.coverage - 0.95)).toBeLessThan(0.025 + noise(0.95));
  });
});

test('what the simulations draw has the moments that they say', () => {
  const random = randomOf(3);
  const draws = Array.from({ length: 40_000 }, () => skewed(random));
  const mean = (power: number) => draws.reduce((sum, one) => sum + one ** power, 0) / draws.length;
  expect(Math.abs(mean(1))).toBeLessThan(0.02);
  expect(Math.abs(mean(2) - 1)).toBeLessThan(0.06);
  expect(mean(3)).toBeGreaterThan(1.5);
  const sources = { seeds: 0.5, examples: 0.3, rest: 0.2 };
  const values = Array.from({ length: 2000 }, () => {
    const table = simulatedTable(sources, { S: 3, N: 20, shape: 'normal' }, random);
    return table.flat().reduce((sum, d) => sum + d, 0) / 60;
  });
  const variance = values.reduce((sum, one) => sum + one ** 2, 0) / values.length;
  expect(Math.abs(variance - 1)).toBeLessThan(0.12);
});
