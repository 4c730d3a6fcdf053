import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

const draws = 100_000;
const seed = 19_350_101;

/**
 * The two-sided paired permutation test that differences between two systems have mean 0: the share of random
 * sign patterns s with |Σ sᵢdᵢ| ≥ |Σ dᵢ|, over 100,000 patterns and the one that was seen, (hits + 1) /
 * 100,001. It holds where swapping the two systems on a problem would be equally likely, whatever the number
 * of samples behind each mean; with differences of ±1 it estimates the exact McNemar test. The seed is fixed,
 * and neither the order of the differences nor which system came first matters. Phipson and Smyth 2010,
 * "Permutation P-values Should Never Be Zero".
 */
export function signFlipP(differences: readonly number[]): number {
  const sizes = Float64Array.from(differences.filter((d) => d !== 0).map(Math.abs)).sort();
  if (sizes.length === 0) return 1;
  const seen = Math.abs(differences.reduce((sum, d) => sum + d, 0));
  // Sums that are equal but for rounding count as equal.
  const threshold = seen - 1e-9 * sizes[sizes.length - 1];
  const random = xoroshiro128plus(seed);
  let hits = 0;
  for (let draw = 0; draw < draws; draw++) {
    let sum = 0;
    let bits = 0;
    for (let i = 0; i < sizes.length; i++) {
      bits = i % 32 === 0 ? random.next() : bits >>> 1;
      sum += bits & 1 ? sizes[i] : -sizes[i];
    }
    if (Math.abs(sum) >= threshold) hits++;
  }
  return (hits + 1) / (draws + 1);
}
