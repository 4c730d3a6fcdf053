/**
 * Holm's corrected p-values, in the order given: of m, the i-th smallest becomes max over j ≤ i of min(1,
 * (m − j + 1)·p₍ⱼ₎). Rejecting those ≤ α rejects a true hypothesis of the m in at most a share α of studies,
 * however the p-values depend on one another. Holm 1979, "A Simple Sequentially Rejective Multiple Test
 * Procedure".
 */
export function holm(ps: readonly number[]): number[] {
  const order = ps.map((_, i) => i).sort((a, b) => ps[a] - ps[b]);
  const corrected = new Array<number>(ps.length);
  let largest = 0;
  for (const [rank, i] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (ps.length - rank) * ps[i]));
    corrected[i] = largest;
  }
  return corrected;
}
