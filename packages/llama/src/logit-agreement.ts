/** How a model's next-token distributions q differ from another's p, over positions. */
export interface Agreement {
  readonly positions: number;
  /** KL(p ‖ q) in nats: the mean over positions, and the largest. */
  readonly klMean: number;
  readonly klMax: number;
  /** Share of positions at which the likeliest token is the same; of equals the first counts. */
  readonly sameGreedy: number;
}

/**
 * KL(p ‖ q) = Σᵢ pᵢ·(ln pᵢ − ln qᵢ) of the softmax of two models' logits on the same texts, each f32 [t, v],
 * in f64. Not below 0, where rounding would put it.
 */
export function logitAgreement(p: readonly Float32Array[], q: readonly Float32Array[], v: number): Agreement {
  let [positions, sum, klMax, same] = [0, 0, 0, 0];
  for (const [i, text] of p.entries()) {
    for (let at = 0; at < text.length; at += v, positions++) {
      const rows = [text, q[i]].map((logits) => logits.subarray(at, at + v));
      const [a, b] = rows.map(logSoftmax);
      const kl = Math.max(
        0,
        a.reduce((total, ln, token) => total + Math.exp(ln) * (ln - b[token]), 0),
      );
      sum += kl;
      klMax = Math.max(klMax, kl);
      const [first, second] = rows.map(likeliest);
      if (first === second) same++;
    }
  }
  return { positions, klMean: sum / positions, klMax, sameGreedy: same / positions };
}

function logSoftmax(row: Float32Array): Float64Array {
  const top = row.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  const shifted = Float64Array.from(row, (x) => x - top);
  const logSum = Math.log(shifted.reduce((sum, x) => sum + Math.exp(x), 0));
  return shifted.map((x) => x - logSum);
}

function likeliest(row: Float32Array): number {
  return row.indexOf(row.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY));
}
