import type { Estimate } from '../analysis.ts';
import { studentQuantile } from './student-t.ts';

/**
 * The mean of S seeds' values and its 95 % interval, m ± t·s/√S with t Student's of S − 1 degrees of freedom,
 * within `bounds`; none of one value, nor of values without any spread. Throws RangeError without values.
 */
export function meanOverSeeds(
  values: readonly number[],
  [least, most]: readonly [number, number] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
): Estimate {
  if (values.length === 0) throw new RangeError('mean over seeds: there are no values');
  const value = values.reduce((sum, one) => sum + one, 0) / values.length;
  const squares = values.reduce((sum, one) => sum + (one - value) ** 2, 0);
  const df = values.length - 1;
  // Rounding alone is no spread.
  if (df === 0 || squares <= (1e-12 * value) ** 2) return { value, ci95: null };
  const half = studentQuantile(0.05, df) * Math.sqrt(squares / df / values.length);
  return { value, ci95: [Math.max(least, value - half), Math.min(most, value + half)] };
}
