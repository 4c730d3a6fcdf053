import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { passAtK } from '../pass-at-k.ts';

/**
 * A kind of problem: the chances that a sample of system a, and of b, passes, and how many problems are such.
 */
export interface Kind {
  readonly a: number;
  readonly b: number;
  readonly share: number;
}

/** What all problems are drawn from; the shares sum to 1. */
export type Population = readonly Kind[];

/** Chances of one system by their shares. */
type Mixture = readonly (readonly [share: number, chances: readonly Chance[]])[];
type Chance = readonly [chance: number, share: number];

/** Beta(α, β) on 100 points, p = sin²(πu/2) at the middles of as many steps of u. */
function beta(alpha: number, shape: number): Chance[] {
  const points = Array.from({ length: 100 }, (_, i) => Math.sin((Math.PI * (i + 0.5)) / 200) ** 2);
  const weights = points.map((p) => p ** (alpha - 0.5) * (1 - p) ** (shape - 0.5));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return points.map((p, i) => [p, weights[i] / total]);
}

const never: Chance[] = [[0, 1]];
const always: Chance[] = [[1, 1]];

/**
 * What chances of passing look like, from a model that solves hardly anything to one that solves nearly all.
 */
const mixtures = {
  'U-shaped': [[1, beta(0.3, 0.7)]],
  weak: [
    [0.7, never],
    [0.3, beta(0.5, 2)],
  ],
  'very weak': [
    [0.9, never],
    [0.1, beta(0.5, 1.5)],
  ],
  strong: [
    [0.6, always],
    [0.4, beta(1.5, 0.5)],
  ],
  'very strong': [
    [0.85, always],
    [0.15, beta(1, 1)],
  ],
  uniform: [[1, beta(1, 1)]],
} satisfies Record<string, Mixture>;

export type MixtureName = keyof typeof mixtures;
export const mixtureNames = Object.keys(mixtures) as MixtureName[];

/** How b relates to a. */
const relations = {
  /** The same chances. */
  same: (chances: readonly Chance[]) => chances.map(([p, share]) => ({ a: p, b: p, share })),
  /** The log odds of b are 1 above those of a. */
  better: (chances: readonly Chance[]) =>
    chances.map(([p, share]) => ({ a: p, b: (p * Math.E) / (p * Math.E + 1 - p), share })),
  /** On three problems of ten the chance of b has nothing to do with that of a; the mean is the same. */
  unlike: (chances: readonly Chance[]) => [
    ...chances.map(([p, share]) => ({ a: p, b: p, share: 0.7 * share })),
    ...chances.flatMap(([a, x]) => chances.map(([b, y]) => ({ a, b, share: 0.3 * x * y }))),
  ],
} satisfies Record<string, (chances: readonly Chance[]) => Kind[]>;

export type RelationName = keyof typeof relations;
export const relationNames = Object.keys(relations) as RelationName[];

export function populationOf(mixture: MixtureName, relation: RelationName): Population {
  const parts: Mixture = mixtures[mixture];
  return relations[relation](
    parts.flatMap(([share, chances]) => chances.map(([p, part]): Chance => [p, share * part])),
  );
}

/** The values of both systems on a problem, and how likely they are. */
export interface Outcome {
  readonly a: number;
  readonly b: number;
  readonly chance: number;
}

/** All values of pass@k that n samples of each system can give on a problem, exactly. */
export function outcomesOf(population: Population, { n, k }: { n: number; k: number }): Outcome[] {
  const chances = Array.from({ length: n + 1 }, () => new Float64Array(n + 1));
  for (const { a, b, share } of population) {
    const [passesA, passesB] = [binomial(n, a), binomial(n, b)];
    for (let i = 0; i <= n; i++) {
      for (let j = 0; j <= n; j++) chances[i][j] += share * passesA[i] * passesB[j];
    }
  }
  return chances.flatMap((row, i) =>
    [...row].map((chance, j) => ({ a: passAtK(n, i, k), b: passAtK(n, j, k), chance })),
  );
}

/** The mean of a value over the outcomes. */
export function expected(outcomes: readonly Outcome[], value: (outcome: Outcome) => number): number {
  return outcomes.reduce((sum, outcome) => sum + outcome.chance * value(outcome), 0);
}

/** Benchmarks of so many problems, drawn from the outcomes with this seed: the values of a and of b. */
export function* benchmarksOf(
  outcomes: readonly Outcome[],
  { problems, runs, seed }: { problems: number; runs: number; seed: number },
): Generator<[a: number[], b: number[]]> {
  const random = xoroshiro128plus(seed);
  const cumulative = new Float64Array(outcomes.length);
  let total = 0;
  for (const [i, { chance }] of outcomes.entries()) {
    total += chance;
    cumulative[i] = total;
  }
  const drawn = () => {
    const u = ((random.next() >>> 0) / 2 ** 32) * total;
    let [low, high] = [0, outcomes.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cumulative[middle] > u) high = middle;
      else low = middle + 1;
    }
    return outcomes[low];
  };
  for (let run = 0; run < runs; run++) {
    const [a, b] = [new Array<number>(problems), new Array<number>(problems)];
    for (let i = 0; i < problems; i++) ({ a: a[i], b: b[i] } = drawn());
    yield [a, b];
  }
}

/** The share of such benchmarks for which `holds`. */
export function shareOf(
  outcomes: readonly Outcome[],
  options: { problems: number; runs: number; seed: number },
  holds: (a: number[], b: number[]) => boolean,
): number {
  let held = 0;
  for (const [a, b] of benchmarksOf(outcomes, options)) if (holds(a, b)) held++;
  return held / options.runs;
}

/** P(X = 0), … P(X = n) of n draws. */
export function binomial(n: number, chance: number): Float64Array {
  const pmf = new Float64Array(n + 1);
  pmf[0] = 1;
  for (let draws = 1; draws <= n; draws++) {
    for (let x = draws; x > 0; x--) pmf[x] = pmf[x] * (1 - chance) + pmf[x - 1] * chance;
    pmf[0] *= 1 - chance;
  }
  return pmf;
}
