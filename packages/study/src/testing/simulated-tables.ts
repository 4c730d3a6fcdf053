import type { Random } from '@flex/eval/testing';
import type { DifferenceTable } from '../statistics/paired-difference.ts';

/** What the variance of a mean difference comes from, shares of it. */
export interface Sources {
  readonly seeds: number;
  readonly examples: number;
  readonly rest: number;
}

/** From all of one source to some of each. */
export const sourceCells: readonly Sources[] = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
  [0.5, 0.5, 0],
  [0.77, 0.23, 0],
  [0.23, 0.77, 0],
  [0.1, 0.9, 0],
  [0.5, 0, 0.5],
  [0, 0.5, 0.5],
  [0, 0.77, 0.23],
  [0.33, 0.33, 0.34],
  [0.25, 0.5, 0.25],
].map(([seeds, examples, rest]) => ({ seeds, examples, rest }));

export type Shape = 'normal' | 'skewed';

/**
 * Differences of S seeds and N examples about 0, whose mean has variance 1; those of examples and the rest
 * skewed.
 */
export function simulatedTable(
  { seeds, examples, rest }: Sources,
  { S, N, shape }: { readonly S: number; readonly N: number; readonly shape: Shape },
  random: Random,
): DifferenceTable {
  const drawn = shape === 'normal' ? random.normal : () => skewed(random);
  const ofExamples = Array.from({ length: N }, () => Math.sqrt(examples * N) * drawn());
  return Array.from({ length: S }, () => {
    const ofSeed = Math.sqrt(seeds * S) * random.normal();
    return ofExamples.map((one) => ofSeed + one + Math.sqrt(rest * S * N) * drawn());
  });
}

/** An exponential draw less its mean: variance 1, skewness 2. */
export function skewed({ uniform }: Random): number {
  return -Math.log(uniform()) - 1;
}

/** A kind of model: how likely a problem is passed, as log odds. */
export type Odds = 'half' | 'weak' | 'uneven';

const odds: Record<Odds, (random: Random) => number> = {
  half: ({ normal }) => normal(),
  weak: ({ normal }) => -3 + normal(),
  uneven: ({ normal }) => 4 * normal(),
};

/**
 * Two arms that pass or fail N problems with S seeds, as differences: log odds of a problem, of an arm on it
 * (standard deviation 0.7), of a seed (`seedOdds`), and `gain` for the arm.
 */
export function simulatedPasses(
  kind: Odds,
  {
    S,
    N,
    gain,
    seedOdds,
  }: { readonly S: number; readonly N: number; readonly gain: number; readonly seedOdds: number },
  random: Random,
): DifferenceTable {
  const problems = Array.from({ length: N }, () => odds[kind](random));
  const passes = [0, gain].map((own) => {
    const ofArm = problems.map((one) => one + own + 0.7 * random.normal());
    return Array.from({ length: S }, () => {
      const ofSeed = seedOdds * random.normal();
      return ofArm.map((one) => Number(random.uniform() < 1 / (1 + Math.exp(-one - ofSeed))));
    });
  });
  return passes[1].map((row, s) => row.map((pass, i) => pass - passes[0][s][i]));
}
