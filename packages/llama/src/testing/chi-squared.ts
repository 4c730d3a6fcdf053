/**
 * How far counts are from probabilities that sum to 1: Pearson's χ², outcomes that are expected less than
 * five times taken together, as standard deviations of a normal number (Wilson and Hilferty 1931). Infinity
 * where an outcome came that has no probability.
 */
export function chiSquaredDeviation<K>(
  counts: ReadonlyMap<K, number>,
  probabilities: ReadonlyMap<K, number>,
): number {
  const n = [...counts.values()].reduce((a, b) => a + b, 0);
  const rare = { count: 0, expected: 0 };
  let statistic = 0;
  let cells = 0;
  const add = (count: number, expected: number): void => {
    statistic += (count - expected) ** 2 / expected;
    cells++;
  };
  for (const outcome of counts.keys()) if (!probabilities.get(outcome)) return Number.POSITIVE_INFINITY;
  for (const [outcome, p] of probabilities) {
    const count = counts.get(outcome) ?? 0;
    if (n * p >= 5) add(count, n * p);
    else {
      rare.count += count;
      rare.expected += n * p;
    }
  }
  if (rare.expected >= 1) add(rare.count, rare.expected);
  const degrees = cells - 1;
  if (degrees < 1) return 0;
  const spread = 2 / (9 * degrees);
  return (Math.cbrt(statistic / degrees) - (1 - spread)) / Math.sqrt(spread);
}
