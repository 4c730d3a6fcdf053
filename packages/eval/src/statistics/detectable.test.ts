import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { describe, expect, test } from 'vitest';
import { detectableByMcnemar, detectableByMeans } from './detectable.ts';
import { mcnemarP } from './mcnemar.ts';

function factorial(n: number): number {
  return n <= 1 ? 1 : n * factorial(n - 1);
}

/** P(p ≤ 0.05 and more won than lost), over all counts of won and lost problems. */
function powerByEnumeration(n: number, { rate, difference }: { rate: number; difference: number }): number {
  const [win, lose] = [(rate + difference) / 2, (rate - difference) / 2];
  let power = 0;
  for (let won = 0; won <= n; won++) {
    for (let lost = 0; lost < won && won + lost <= n; lost++) {
      if (mcnemarP(won, lost) > 0.05) continue;
      const ways = factorial(n) / factorial(won) / factorial(lost) / factorial(n - won - lost);
      power += ways * win ** won * lose ** lost * (1 - rate) ** (n - won - lost);
    }
  }
  return power;
}

/** Uniform numbers in [0, 1). */
function uniform(seed: number): () => number {
  const random = xoroshiro128plus(seed);
  return () => (random.next() >>> 0) / 2 ** 32;
}

describe('what a benchmark could have shown, with one sample a problem', () => {
  test('the smallest significant net is significant, and two problems less are not', () => {
    for (let discordant = 6; discordant <= 164; discordant++) {
      const net = Math.round(detectableByMcnemar(164, discordant).significant! * 164);
      expect(mcnemarP((discordant - net) / 2, (discordant + net) / 2)).toBeLessThanOrEqual(0.05);
      expect(mcnemarP((discordant - net) / 2 + 1, (discordant + net) / 2 - 1)).toBeGreaterThan(0.05);
    }
  });
  test('a difference of the size given has 80 % power, by going through all outcomes', () => {
    for (const [n, discordant] of [
      [20, 10],
      [20, 20],
      [40, 15],
      [60, 30],
    ]) {
      const { powered } = detectableByMcnemar(n, discordant);
      const rate = discordant / n;
      expect(powerByEnumeration(n, { rate, difference: powered! })).toBeCloseTo(0.8, 6);
      expect(powerByEnumeration(n, { rate, difference: powered! - 1e-3 })).toBeLessThan(0.8);
    }
  });
  test('a difference of the size given has 80 % power, by simulation', () => {
    const [n, discordant] = [164, 40];
    const { powered } = detectableByMcnemar(n, discordant);
    const rate = discordant / n;
    const next = uniform(7);
    const runs = 20_000;
    let found = 0;
    for (let run = 0; run < runs; run++) {
      let [won, lost] = [0, 0];
      for (let problem = 0; problem < n; problem++) {
        const u = next();
        if (u < (rate + powered!) / 2) won++;
        else if (u < rate) lost++;
      }
      if (won > lost && mcnemarP(won, lost) <= 0.05) found++;
    }
    // Five standard errors.
    expect(Math.abs(found / runs - 0.8)).toBeLessThan(0.0142);
  });
  test('is nothing where too few problems differ', () => {
    expect(detectableByMcnemar(164, 0)).toEqual({ significant: null, powered: null });
    expect(detectableByMcnemar(164, 5)).toEqual({ significant: null, powered: null });
    expect(powerByEnumeration(20, { rate: 0.3, difference: 0.3 })).toBeLessThan(0.8);
    expect(detectableByMcnemar(20, 6)).toEqual({ significant: 0.3, powered: null });
  });
  test('is finite for the largest benchmarks', () => {
    const { significant, powered } = detectableByMcnemar(5000, 1000);
    expect(significant).toBeCloseTo((1.96 * Math.sqrt(1000)) / 5000, 3);
    expect(powered).toBeCloseTo(((1.96 + 0.8416) * Math.sqrt(1000)) / 5000, 3);
  });
});

describe('what a benchmark could have shown, with several samples a problem', () => {
  test('is 1.96 and 2.80 standard errors', () => {
    // The standard deviation of 1, −1, 1, −1 … is √(n / (n − 1)).
    const differences = Array.from({ length: 101 }, (_, i) => (i === 100 ? 0 : (-1) ** i));
    const error = 1 / Math.sqrt(101);
    expect(detectableByMeans(differences).significant).toBeCloseTo(1.959963985 * error, 9);
    expect(detectableByMeans(differences).powered).toBeCloseTo(2.801585218 * error, 9);
  });
  test('has 80 % power, by simulation', () => {
    const next = uniform(11);
    const draw = (shift: number) => Array.from({ length: 200 }, () => next() + next() - next() + shift - 0.5);
    // The population's standard deviation: three uniform numbers, of variance 1/12 each.
    const error = Math.sqrt(3 / 12 / 200);
    const powered = (1.959963985 + 0.841621234) * error;
    let found = 0;
    let told = 0;
    const runs = 4000;
    for (let run = 0; run < runs; run++) {
      const differences = draw(powered);
      const mean = differences.reduce((sum, d) => sum + d, 0) / 200;
      const detectable = detectableByMeans(differences);
      if (mean > detectable.significant!) found++;
      told += detectable.powered! / runs;
    }
    expect(Math.abs(found / runs - 0.8)).toBeLessThan(0.032);
    expect(told).toBeCloseTo(powered, 3);
  });
  test('is nothing where all differences are the same, or fewer than 6 are not 0', () => {
    const five = [0.5, 0.4, 0.3, 0.2, 0.1];
    for (const differences of [[0, 0, 0], Array(9).fill(0.1), [0.5], [...five, ...Array(95).fill(0)]]) {
      expect(detectableByMeans(differences)).toEqual({ significant: null, powered: null });
    }
    expect(detectableByMeans([...five, 0.1, ...Array(95).fill(0)]).significant).toBeGreaterThan(0);
  });
});
