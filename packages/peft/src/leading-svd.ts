import { normal } from '@flex/tensor';
import { addScaled, dot, orthogonalize } from './jacobi.ts';

/** A matrix on the host: row-major [rows, columns]. */
export interface HostMatrix {
  readonly data: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

/** The leading singular triplets of a matrix, largest first: W ≈ Σ σᵢ·uᵢ·vᵢᵀ. */
export interface LeadingSvd {
  readonly sigma: Float64Array;
  /** Columns uᵢ f64 [rows] and vᵢ f64 [columns], of norm 1; of a singular value of zero one may be zero. */
  readonly u: readonly Float64Array[];
  readonly v: readonly Float64Array[];
}

/** A residual ‖Wᵀu − σv‖ that counts as none, in units of the largest singular value. */
const tolerance = 1e-9;

/**
 * The `count` largest singular values of a matrix and their vectors, in f64. Golub and Kahan's
 * bidiagonalization with both bases kept orthogonal, continued until every residual is below 1e-9·σ₁, at the
 * latest until the bases are whole. Deterministic; signs are arbitrary. Source: Golub and Van Loan, Matrix
 * Computations, 10.4.
 */
export function leadingSvd(matrix: HostMatrix, count: number): LeadingSvd {
  const { rows, columns } = matrix;
  // The basis of the shorter side is whole first, and then nothing is left over.
  const isTall = rows >= columns;
  const [forth, back] = isTall ? [times, transposedTimes] : [transposedTimes, times];
  const most = Math.min(rows, columns);
  const us: Float64Array[] = [];
  const vs: Float64Array[] = [];
  const alphas: number[] = [];
  const betas: number[] = [];
  let check = Math.min(most, 2 * count + 10);
  let v = randomVector(most, 0);
  normalize(v, vs, 0);
  for (;;) {
    vs.push(v);
    const u = forth(matrix, v);
    if (us.length > 0) addScaled(u, us.at(-1)!, -betas.at(-1)!);
    alphas.push(normalize(u, us, 2 * us.length + 1));
    us.push(u);
    v = back(matrix, u);
    addScaled(v, vs.at(-1)!, -alphas.at(-1)!);
    const isWhole = vs.length === most;
    betas.push(isWhole ? 0 : normalize(v, vs, 2 * vs.length));
    if (vs.length < check) continue;
    const core = bidiagonalSvd(alphas, betas);
    const residuals = core.left.slice(0, count).map((p) => betas.at(-1)! * Math.abs(p.at(-1)!));
    if (isWhole || residuals.every((residual) => residual <= tolerance * core.sigma[0])) {
      const [left, right] = [core.left, core.right].map((side) => side.slice(0, count));
      const [long, short] = [left.map((p) => combine(us, p)), right.map((q) => combine(vs, q))];
      const sigma = core.sigma.slice(0, count);
      return isTall ? { sigma, u: long, v: short } : { sigma, u: short, v: long };
    }
    check = Math.min(most, Math.ceil(1.25 * check));
  }
}

function times({ data, rows, columns }: HostMatrix, x: Float64Array): Float64Array {
  const y = new Float64Array(rows);
  for (let i = 0, at = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += data[at++] * x[j];
    y[i] = sum;
  }
  return y;
}

function transposedTimes({ data, rows, columns }: HostMatrix, x: Float64Array): Float64Array {
  const y = new Float64Array(columns);
  for (let i = 0, at = 0; i < rows; i++) {
    const factor = x[i];
    for (let j = 0; j < columns; j++) y[j] += data[at++] * factor;
  }
  return y;
}

/**
 * Makes x orthogonal to a basis and of norm 1, and gives the norm that it had between the two. One that lies
 * in the basis is replaced by another vector, and its norm is 0.
 */
export function normalize(x: Float64Array, basis: readonly Float64Array[], stream: number): number {
  const before = Math.sqrt(dot(x, x));
  // Twice: what the first pass leaves over is as large as its rounding errors.
  for (let pass = 0; pass < 2; pass++) for (const e of basis) addScaled(x, e, -dot(x, e));
  const norm = Math.sqrt(dot(x, x));
  if (norm <= 1e-14 * before || norm === 0) {
    x.set(randomVector(x.length, stream));
    normalize(x, basis, stream + 1);
    return 0;
  }
  for (let i = 0; i < x.length; i++) x[i] /= norm;
  return norm;
}

const vectorStream = 0x57d;

function randomVector(length: number, stream: number): Float64Array {
  return Float64Array.from(normal(length, { key: [0, vectorStream], counter: [0, stream] }));
}

/** Σ weightsᵢ·basisᵢ. */
function combine(basis: readonly Float64Array[], weights: Float64Array): Float64Array {
  const sum = new Float64Array(basis[0].length);
  for (const [i, e] of basis.entries()) addScaled(sum, e, weights[i]);
  return sum;
}

/**
 * The singular values of the square matrix with the diagonal `alphas` and `betas` above it, largest first,
 * and their left and right vectors.
 */
function bidiagonalSvd(alphas: readonly number[], betas: readonly number[]) {
  const n = alphas.length;
  const unit = (i: number) => Float64Array.from({ length: n }, (_, k) => Number(k === i));
  const columns = alphas.map((alpha, j) =>
    Float64Array.from({ length: n }, (_, i) => (i === j ? alpha : i === j - 1 ? betas[i] : 0)),
  );
  const right = alphas.map((_, i) => unit(i));
  orthogonalize(columns, right);
  const norms = columns.map((x) => Math.sqrt(dot(x, x)));
  const order = norms.map((_, i) => i).sort((i, j) => norms[j] - norms[i]);
  return {
    sigma: Float64Array.from(order, (i) => norms[i]),
    left: order.map((i) => columns[i].map((x) => (norms[i] === 0 ? 0 : x / norms[i]))),
    right: order.map((i) => right[i]),
  };
}
