import type { Contrast, Estimate, Measure } from './analysis.ts';
import type { Scores } from './measures.ts';
import { detectableDifference } from './statistics/detectable-difference.ts';
import { holm } from './statistics/holm.ts';
import { type ErrorParts, pairedDifference } from './statistics/paired-difference.ts';

/** Two arms' runs with one seed. */
export interface SeedPair {
  readonly seed: number;
  readonly arm: Scores;
  readonly against: Scores;
}

/** A difference before it is corrected for others. */
export interface Difference extends Pick<Contrast, 'difference' | 'bySeed' | 'p'> {
  /** Null where there is no interval. */
  readonly parts: ErrorParts | null;
}

/** Why two arms cannot be compared. */
export type Unlike = 'examples' | 'protocols' | 'tokens';

/**
 * Arms against one another by `pairedDifference`. With fewer than two seeds or two examples there is neither
 * interval nor test. Where runs have seen different examples, were judged by different protocols or have
 * losses of different numbers of tokens, as with two tokenizers, it is what they differ in.
 */
export function differenceOf(
  pairs: readonly SeedPair[],
  { unit }: Pick<Measure, 'unit'>,
): Difference | Unlike {
  const all = pairs.flatMap(({ arm, against }) => [arm, against]);
  if (all.some(({ ids }) => !isSame(ids, all[0].ids))) return 'examples';
  if (all.some(({ protocol }) => protocol !== all[0].protocol))
    return unit === 'nats' ? 'tokens' : 'protocols';
  const bySeed = pairs.map(({ seed, arm, against }) => ({ seed, value: arm.value - against.value }));
  const value = bySeed.reduce((sum, one) => sum + one.value, 0) / pairs.length;
  if (pairs.length < 2 || all[0].ids.length < 2) {
    return { difference: { value, ci95: null }, bySeed, p: null, parts: null };
  }
  const table = pairs.map(({ arm, against }) => arm.values.map((one, i) => one - against.values[i]));
  const { ci95, p, parts } = pairedDifference(table, { isShare: unit === 'share' });
  const difference: Estimate = { value, ci95: unit === 'share' ? within(ci95) : ci95 };
  return { difference, bySeed, p, parts };
}

/** Differences of one family, each with its p corrected for the others and what it could have found then. */
export function corrected<T extends Difference>(
  family: readonly T[],
): (Omit<T, 'parts'> & Pick<Contrast, 'pHolm' | 'detectable'>)[] {
  const ps = family.flatMap(({ p }) => p ?? []);
  const holmed = holm(ps)[Symbol.iterator]();
  return family.map(({ parts, ...one }) => ({
    ...one,
    pHolm: one.p === null ? null : holmed.next().value!,
    detectable: parts && detectableDifference(parts, 0.05 / ps.length),
  }));
}

function within([low, high]: readonly [number, number]): [number, number] {
  return [Math.max(-1, low), Math.min(1, high)];
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
