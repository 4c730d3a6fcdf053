/** The 97.5 % quantile of the standard normal distribution. */
const z = 1.959963984540054;

/**
 * The 95 % interval of a share of which c of n were seen: (c + z²/2 ± z·√(c(n−c)/n + z²/4)) / (n + z²),
 * within [0, 1]. c need not be whole. Throws RangeError unless 0 ≤ c ≤ n and n is positive. Wilson 1927,
 * "Probable Inference, the Law of Succession, and Statistical Inference".
 */
export function wilsonInterval(c: number, n: number): [low: number, high: number] {
  if (!(n > 0 && c >= 0 && c <= n && Number.isFinite(n))) {
    throw new RangeError(`Wilson interval: needs 0 ≤ c ≤ n and n > 0, got c=${c}, n=${n}`);
  }
  const middle = c + z ** 2 / 2;
  const half = z * Math.sqrt((c * (n - c)) / n + z ** 2 / 4);
  const whole = n + z ** 2;
  return [Math.max(0, (middle - half) / whole), c === n ? 1 : Math.min(1, (middle + half) / whole)];
}
