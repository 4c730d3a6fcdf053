/**
 * The unbiased estimate of the chance that at least one of k samples passes, from n samples of which c
 * passed: 1 − C(n−c, k) / C(n, k), as a product that does not overflow. Chen et al. 2021, "Evaluating Large
 * Language Models Trained on Code", eq. 1. Throws RangeError unless 0 ≤ c ≤ n and 1 ≤ k ≤ n, all whole.
 */
export function passAtK(n: number, c: number, k: number): number {
  if (![n, c, k].every(Number.isInteger) || c < 0 || c > n || k < 1 || k > n) {
    throw new RangeError(
      `pass@k: needs whole numbers with 0 ≤ c ≤ n and 1 ≤ k ≤ n, got n=${n}, c=${c}, k=${k}`,
    );
  }
  if (n - c < k) return 1;
  let allFail = 1;
  for (let i = n - c + 1; i <= n; i++) allFail *= 1 - k / i;
  return 1 - allFail;
}

/** Samples drawn for a problem, and how many of them passed. */
export interface ProblemCount {
  readonly n: number;
  readonly c: number;
}

/**
 * The mean of pass@k over problems. Throws RangeError when there is none, or one has fewer than k samples.
 */
export function meanPassAtK(problems: readonly ProblemCount[], k: number): number {
  if (problems.length === 0) throw new RangeError('pass@k: there are no problems');
  return problems.reduce((total, { n, c }) => total + passAtK(n, c, k), 0) / problems.length;
}
