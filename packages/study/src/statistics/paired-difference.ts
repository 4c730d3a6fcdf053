import { studentQuantile } from './student-t.ts';

/** Differences of two arms: a row a seed, a column an example, both having made or seen the same. */
export type DifferenceTable = readonly (readonly number[])[];

/** A part of the variance of a mean, and what it was estimated from. */
interface Part {
  readonly variance: number;
  readonly df: number;
}

/** The variance of the mean difference, by what it comes from. */
export interface ErrorParts {
  /** Seeds, and what seeds and examples have to do with one another: MS_seeds/(S·N), of shares some more. */
  readonly seeds: Part;
  /** Examples: max(0, MS_examples − MS_rest)/(S·N). */
  readonly examples: Part;
}

export interface PairedDifference {
  /** The mean over all. */
  readonly value: number;
  readonly ci95: readonly [number, number];
  /** Two-sided. */
  readonly p: number;
  readonly parts: ErrorParts;
}

export interface PairedOptions {
  /**
   * Whether the values are shares of 1, that may differ on few examples: one more is then added, on which in
   * one half either arm is ahead, by as much as the two differ elsewhere, Σd²/Σ|d| of the examples' means d,
   * or 1. And the seeds' part gains the variance of rounding each seed's mean to whole steps, Σd²/Σ|d| of all
   * d, or 1, by N: few seeds often give the same share by chance, which must not be taken for no spread.
   */
  readonly isShare: boolean;
}

/**
 * The difference of two arms for other seeds and other examples like these, from a table dₛᵢ = δ + seedₛ +
 * exampleᵢ + restₛᵢ of S ≥ 2 seeds and N ≥ 2 examples. With A and B the variances of the mean that are due to
 * seeds and to examples (`ErrorParts`), w = A/(A + B), and t Student's 97.5 % quantiles of S − 1 and N − 1
 * degrees of freedom, the interval is
 *
 *     d̄ ± t_S^w · t_N^(1−w) · √(A + B)
 *
 * and p the smallest α at which |d̄| ≥ √(t_S²A + t_N²B), the t at α (Howe 1974, "Approximate Confidence
 * Limits on the Mean of X + Y Where X and Y Are Two Tabled Independent Random Variables"). Either is
 * Student's own where one of the parts is all there is. Between them the interval covers at 93 to 97 % from
 * three seeds on, and the test finds nothing too often at any α, however small a correction makes it; so at p
 * from 0.05 up the interval may leave out 0 where the test does not, and never the other way round. See
 * docs/method.md.
 *
 * p is 1 where there is no difference and no spread. Throws RangeError for fewer seeds or examples, and for
 * rows of different lengths.
 */
export function pairedDifference(table: DifferenceTable, options: PairedOptions): PairedDifference {
  const { mean, parts } = decompose(table, options);
  const half = intervalHalf(parts);
  return { value: mean, ci95: [mean - half, mean + half], p: pOf(Math.abs(mean), parts), parts };
}

/** How far from 0 a mean difference must be for p ≤ `level`. */
export function criticalDifference({ seeds, examples }: ErrorParts, level: number): number {
  const part = ({ variance, df }: Part) => (variance === 0 ? 0 : studentQuantile(level, df) ** 2 * variance);
  return Math.sqrt(part(seeds) + part(examples));
}

function intervalHalf({ seeds, examples }: ErrorParts): number {
  const variance = seeds.variance + examples.variance;
  if (variance === 0) return 0;
  const share = seeds.variance / variance;
  const [ofSeeds, ofExamples] = [seeds, examples].map(({ df }) => studentQuantile(0.05, df));
  return ofSeeds ** share * ofExamples ** (1 - share) * Math.sqrt(variance);
}

/** The smallest p that is told; below, it is this one. */
const leastP = 1e-15;

function pOf(difference: number, parts: ErrorParts): number {
  if (difference <= 0) return 1;
  if (difference >= criticalDifference(parts, leastP)) return leastP;
  let [low, high] = [Math.log(leastP), 0];
  while (high - low > 1e-10) {
    const middle = (low + high) / 2;
    if (difference >= criticalDifference(parts, Math.exp(middle))) high = middle;
    else low = middle;
  }
  return Math.exp(high);
}

function decompose(table: DifferenceTable, { isShare }: PairedOptions): { mean: number; parts: ErrorParts } {
  const [S, N] = [table.length, table[0]?.length ?? 0];
  if (S < 2 || N < 2) {
    throw new RangeError(`paired difference: needs two seeds and two examples, got ${S} and ${N}`);
  }
  if (table.some((row) => row.length !== N)) {
    throw new RangeError('paired difference: needs the same examples with every seed');
  }
  const ofSeeds = table.map(meanOf);
  const ofExamples = table[0].map((_, i) => meanOf(table.map((row) => row[i])));
  const mean = meanOf(ofSeeds);
  const seedSquares = squaresOf(ofSeeds, mean);
  const exampleSquares = squaresOf(ofExamples, mean);
  let restSquares = 0;
  for (const [s, row] of table.entries()) {
    for (const [i, d] of row.entries()) restSquares += (d - ofSeeds[s] - ofExamples[i] + mean) ** 2;
  }
  // Each is the mean square by S·N, as it enters the variance of the mean.
  const rounding = isShare ? (usualGap(table.flat()) / N) ** 2 / 12 : 0;
  const seeds = (seedSquares / (S - 1) + rounding) / S;
  const examples = isShare
    ? (exampleSquares + usualGap(ofExamples) ** 2) / N / N
    : exampleSquares / (N - 1) / N;
  const rest = restSquares / ((S - 1) * (N - 1)) / (S * N);
  return {
    mean,
    parts: {
      seeds: { variance: seeds, df: S - 1 },
      examples: { variance: Math.max(0, examples - rest), df: N - 1 },
    },
  };
}

/** By how much two arms differ where they do; 1 where they nowhere do. */
function usualGap(differences: readonly number[]): number {
  const sizes = differences.reduce((sum, d) => sum + Math.abs(d), 0);
  // Rounding alone is no difference.
  return sizes > 1e-9 ? differences.reduce((sum, d) => sum + d ** 2, 0) / sizes : 1;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function squaresOf(values: readonly number[], centre: number): number {
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
}
