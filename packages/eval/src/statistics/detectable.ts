import { criticalCount } from './mcnemar.ts';

/** The 97.5 % and 80 % quantiles of the standard normal distribution. */
const z975 = 1.959963984540054;
const z80 = 0.8416212335729143;
const wantedPower = 0.8;

/** What a benchmark of so many problems could have shown; shares of 1, null where no difference would do. */
export interface Detectable {
  /**
   * The smallest difference of pass@k that would have been significant at 0.05, two-sided, in this
   * comparison.
   */
  readonly significant: number | null;
  /**
   * The smallest true difference that such a comparison finds significant, and in its direction, 80 % of
   * times.
   */
  readonly powered: number | null;
}

/**
 * Where a problem is passed or not, by the exact McNemar test on `n` problems of which the systems disagree
 * on d. `significant` is m / n, m = d − 2x the smallest net number of discordant problems (won less lost)
 * that gives p ≤ 0.05 while d stays as it is; null below 6 discordant problems, where no split does.
 * `powered` is the smallest δ with P(significant and the better system ahead) ≥ 0.8 where every problem alike
 * is won by the better system with probability (d/n + δ)/2, lost with (d/n − δ)/2, and else the same for
 * both; to within 10⁻⁹; null where even δ = d/n, all discordant problems won, falls short. Exact over all
 * outcomes, the number of discordant problems too being random.
 */
export function detectableByMcnemar(n: number, discordant: number): Detectable {
  const critical = criticalCount(discordant);
  const significant = critical < 0 ? null : (discordant - 2 * critical) / n;
  const rate = discordant / n;
  const power = mcnemarPower(n, rate);
  if (power(rate) < wantedPower) return { significant, powered: null };
  let [low, high] = [0, rate];
  while (high - low > 1e-9) {
    const middle = (low + high) / 2;
    if (power(middle) < wantedPower) low = middle;
    else high = middle;
  }
  return { significant, powered: high };
}

/**
 * For other differences than −1, 0 and 1, in the normal approximation of the paired test: with s their
 * standard deviation (n − 1) and e = s/√n, `significant` is 1.960·e and `powered` (1.960 + 0.842)·e. Both are
 * null where fewer than 6 are not 0, since no split of them is significant, and where the differences are all
 * the same.
 */
export function detectableByMeans(differences: readonly number[]): Detectable {
  const n = differences.length;
  const mean = differences.reduce((sum, d) => sum + d, 0) / n;
  const squares = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0);
  const error = Math.sqrt(squares / (n - 1) / n);
  const discordant = differences.filter((d) => d !== 0).length;
  // Rounding alone is no spread.
  if (criticalCount(discordant) < 0 || !(error > 1e-12)) return { significant: null, powered: null };
  return { significant: z975 * error, powered: (z975 + z80) * error };
}

/**
 * The power of McNemar's exact test on `n` problems, as a function of the difference, at a discordance rate.
 */
function mcnemarPower(n: number, rate: number): (difference: number) => number {
  const logFactorial = logFactorials(n);
  const logPmf = (draws: number, hits: number, chance: number) =>
    logFactorial[draws] -
    logFactorial[hits] -
    logFactorial[draws - hits] +
    timesLog(hits, chance) +
    timesLog(draws - hits, 1 - chance);
  const likely: { discordant: number; weight: number; critical: number }[] = [];
  for (let discordant = 0; discordant <= n; discordant++) {
    const weight = Math.exp(logPmf(n, discordant, rate));
    if (weight > 1e-16) likely.push({ discordant, weight, critical: criticalCount(discordant) });
  }
  return (difference) => {
    const lostShare = rate === 0 ? 0 : (1 - difference / rate) / 2;
    let power = 0;
    for (const { discordant, weight, critical } of likely) {
      for (let lost = 0; lost <= critical; lost++) {
        power += weight * Math.exp(logPmf(discordant, lost, lostShare));
      }
    }
    return power;
  };
}

/** count·ln(chance), 0 where count is 0 whatever the chance. */
function timesLog(count: number, chance: number): number {
  return count === 0 ? 0 : count * Math.log(chance);
}

/** ln 0!, ln 1!, … ln n!. */
function logFactorials(n: number): Float64Array {
  const logs = new Float64Array(n + 1);
  for (let i = 1; i <= n; i++) logs[i] = logs[i - 1] + Math.log(i);
  return logs;
}
