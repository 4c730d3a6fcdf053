/**
 * The exact two-sided McNemar test: min(1, 2·P(X ≤ min(onlyA, onlyB))), X binomial with onlyA + onlyB draws
 * at 1/2. `onlyA` and `onlyB` are the discordant pairs: problems that one system solves and the other does
 * not. Whole-number arithmetic, rounded once at the end. Without discordant pairs it is 1. Throws RangeError
 * unless both are whole and not negative.
 */
export function mcnemarP(onlyA: number, onlyB: number): number {
  if (![onlyA, onlyB].every((count) => Number.isSafeInteger(count) && count >= 0)) {
    throw new RangeError(`McNemar's test: needs two counts, got ${onlyA} and ${onlyB}`);
  }
  const draws = onlyA + onlyB;
  let ways = 0n;
  for (const [x, sum] of lowerTails(draws)) {
    ways = sum;
    if (x === Math.min(onlyA, onlyB)) break;
  }
  return Math.min(1, overPowerOfTwo(ways, draws - 1));
}

/**
 * The most pairs that the losing side may win for the exact two-sided test on `discordant` pairs to give
 * p ≤ 0.05; −1 where no split of them is significant, as with fewer than 6.
 */
export function criticalCount(discordant: number): number {
  const all = 2n ** BigInt(discordant);
  let critical = -1;
  // 2·sum / all ≤ 1/20
  for (const [x, sum] of lowerTails(discordant)) {
    if (40n * sum > all) break;
    critical = x;
  }
  return critical;
}

/** For x = 0, 1, … n: x and the number of subsets of n things with at most x members. */
function* lowerTails(n: number): Generator<[x: number, sum: bigint]> {
  let subsets = 1n;
  let sum = 0n;
  for (let x = 0; x <= n; x++) {
    sum += subsets;
    yield [x, sum];
    subsets = (subsets * BigInt(n - x)) / BigInt(x + 1);
  }
}

/** value / 2^power, to within one unit in the last place. */
function overPowerOfTwo(value: bigint, power: number): number {
  const spare = Math.max(0, 4 * value.toString(16).length - 64);
  return Number(value >> BigInt(spare)) * 2 ** (spare - power);
}
