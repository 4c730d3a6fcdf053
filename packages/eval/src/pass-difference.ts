import { type ProblemCount, passAtK } from './pass-at-k.ts';
import type { Interval } from './results.ts';
import { type Detectable, detectableByMcnemar, detectableByMeans } from './statistics/detectable.ts';
import { differenceInterval } from './statistics/difference-interval.ts';
import { mcnemarP } from './statistics/mcnemar.ts';
import { signFlipP } from './statistics/sign-flip.ts';

/** pass@k of one system against that of another on the same problems. Shares are of 1. */
export interface PassDifference {
  /** pass@k of b less that of a. */
  readonly difference: number;
  readonly ci95: Interval;
  /**
   * `mcnemar`, exact, where a problem is passed or not, by one sample or by any of n for k = n; else
   * `sign-flip`, the paired permutation test over problems.
   */
  readonly test: { readonly name: 'mcnemar' | 'sign-flip'; readonly p: number };
  /** Problems on which a's, or b's, is the larger. */
  readonly only_a: number;
  readonly only_b: number;
  readonly detectable: Detectable;
}

/**
 * Compares pass@k from counts of the same problems, in the same order: `differenceInterval` for problems
 * drawn from a population, and a two-sided test that swapping the systems on a problem would change nothing.
 * Throws as `passAtK` does, and RangeError without problems.
 */
export function passDifference(
  a: readonly ProblemCount[],
  b: readonly ProblemCount[],
  k: number,
): PassDifference {
  const [passA, passB] = [a, b].map((counts) => counts.map(({ n, c }) => passAtK(n, c, k)));
  const gains = a.map((count, i) => gainAtK(count, b[i], k));
  const only_a = gains.filter((gain) => gain < 0).length;
  const only_b = gains.filter((gain) => gain > 0).length;
  const isBinary = [...passA, ...passB].every((pass) => pass === 0 || pass === 1);
  return {
    difference: gains.reduce((sum, gain) => sum + gain, 0) / gains.length,
    ci95: differenceInterval(passA, passB),
    test: isBinary
      ? { name: 'mcnemar', p: mcnemarP(only_a, only_b) }
      : { name: 'sign-flip', p: signFlipP(gains) },
    only_a,
    only_b,
    detectable: isBinary ? detectableByMcnemar(gains.length, only_a + only_b) : detectableByMeans(gains),
  };
}

/** pass@k of b on a problem less that of a; what is rounding alone is 0. */
export function gainAtK(a: ProblemCount, b: ProblemCount, k: number): number {
  const gain = passAtK(b.n, b.c, k) - passAtK(a.n, a.c, k);
  return Math.abs(gain) > 1e-12 ? gain : 0;
}
