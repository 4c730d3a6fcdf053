// Vectors on the host, in f64.

export function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

/** y ← y + c·x. */
export function addScaled(y: Float64Array, x: Float64Array, c: number): void {
  for (let i = 0; i < x.length; i++) y[i] += c * x[i];
}

/**
 * Turns vectors in pairs until all are orthogonal, in place: their norms are then the singular values of the
 * matrix with these columns. The vectors of `alongside` turn by the same angles as those at their places.
 * Numbers that are not finite stay.
 * Source: Hestenes, Inversion of matrices by biorthogonalization, 1958.
 */
export function orthogonalize(
  vectors: readonly Float64Array[],
  alongside: readonly Float64Array[] = [],
): void {
  const norm = Math.sqrt(vectors.reduce((sum, x) => sum + dot(x, x), 0));
  const rounding = 2 ** -50 * vectors[0].length;
  let isDone = false;
  // It converges quadratically: ten sweeps are many.
  for (let sweep = 0; sweep < 100 && !isDone; sweep++) {
    isDone = true;
    for (const [i, p] of vectors.entries()) {
      for (let j = i + 1; j < vectors.length; j++) {
        const q = vectors[j];
        const [pp, qq, pq] = [dot(p, p), dot(q, q), dot(p, q)];
        const isSmall =
          Math.abs(pq) <= Math.max(rounding * Math.sqrt(pp) * Math.sqrt(qq), (1e-16 * norm) ** 2);
        if (isSmall || Number.isNaN(pq)) continue;
        isDone = false;
        const cotangent = (qq - pp) / (2 * pq);
        turn(p, q, cotangent);
        if (alongside.length > 0) turn(alongside[i], alongside[j], cotangent);
      }
    }
  }
}

/** Turns x and y in their plane by the smaller angle with cot 2θ = `cotangent`. */
function turn(x: Float64Array, y: Float64Array, cotangent: number): void {
  const tangent = Math.sign(cotangent || 1) / (Math.abs(cotangent) + Math.hypot(1, cotangent));
  const cos = 1 / Math.hypot(1, tangent);
  const sin = cos * tangent;
  for (let i = 0; i < x.length; i++) {
    const before = x[i];
    x[i] = cos * before - sin * y[i];
    y[i] = sin * before + cos * y[i];
  }
}
