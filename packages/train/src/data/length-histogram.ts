/** How many rows are of which length. */
export interface LengthHistogram {
  readonly least: number;
  /** The lengths that a half, and 95 in 100, of the rows do not exceed. */
  readonly median: number;
  readonly p95: number;
  readonly most: number;
  /** From the first with a row to the last: lengths from `from` to `to`, both included; ends are 2^n·{4, 5, 6, 7}. */
  readonly bins: readonly { readonly from: number; readonly to: number; readonly rows: number }[];
}

/** The histogram of at least one length, of whole numbers from 1. */
export function lengthHistogram(lengths: readonly number[]): LengthHistogram {
  const sorted = [...lengths].sort((a, b) => a - b);
  const most = sorted[sorted.length - 1];
  const quantile = (share: number) => sorted[Math.ceil(share * sorted.length) - 1];
  const ends = [1, 2, 3];
  for (let power = 1; ends[ends.length - 1] < most; power *= 2)
    ends.push(...[4, 5, 6, 7].map((n) => n * power));
  const counted = ends.map((to, i) => {
    const from = (ends[i - 1] ?? 0) + 1;
    return { from, to, rows: sorted.filter((length) => from <= length && length <= to).length };
  });
  const first = counted.findIndex(({ rows }) => rows > 0);
  const last = counted.findLastIndex(({ rows }) => rows > 0);
  return {
    least: sorted[0],
    median: quantile(0.5),
    p95: quantile(0.95),
    most,
    bins: counted.slice(first, last + 1),
  };
}
