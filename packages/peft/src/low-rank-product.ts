import type { Adapters } from './adapters.ts';
import { addScaled, dot, orthogonalize } from './jacobi.ts';
import { moduleOf, type ResolvedLora } from './lora.ts';

/** Vectors of one length, in f64. */
export type Vectors = readonly Float64Array[];

/** ΔW = Σ_c b_c·a_cᵀ, [out, in]: `a` the r rows of A, of length in; `b` the r columns of s·B, of length out. */
export interface LowRankProduct {
  readonly a: Vectors;
  readonly b: Vectors;
}

/** s·B·A of each module by its path, read back from the device; a magnitude or a bias is no part of it. */
export async function productsOf(
  adapters: Adapters,
  lora: ResolvedLora,
): Promise<Map<string, LowRankProduct>> {
  const products = new Map<string, LowRankProduct>();
  for (const [path, { a, b }] of adapters) {
    const { scale } = moduleOf(lora, path);
    const [rank, inputs] = a.shape;
    const [ofA, ofB] = [await a.data(), await b.data()];
    products.set(path, {
      a: Array.from({ length: rank }, (_, c) =>
        Float64Array.from(ofA.subarray(c * inputs, (c + 1) * inputs)),
      ),
      b: Array.from({ length: rank }, (_, c) =>
        Float64Array.from({ length: b.shape[0] }, (_, i) => scale * ofB[i * rank + c]),
      ),
    });
  }
  return products;
}

/** later − earlier, a product of the rank of both together. */
export function subtractProduct(later: LowRankProduct, earlier: LowRankProduct): LowRankProduct {
  return { a: [...later.a, ...earlier.a], b: [...later.b, ...earlier.b.map((v) => v.map((x) => -x))] };
}

/**
 * What ΔW = Q_B·R_B·A = B·R_Aᵀ·Q_Aᵀ has in common with matrices of r rows: R_B·A the Gram matrix, and with it
 * the power spectrum, of its rows, R_A·Bᵀ that of its columns, and R_B·R_Aᵀ its singular values.
 */
export interface ReducedProduct {
  /** R_B·A: vectors of length in. */
  readonly rows: Vectors;
  /** R_A·Bᵀ: vectors of length out. */
  readonly columns: Vectors;
  /** Of ΔW, the largest first: min(r, in, out) of them. */
  readonly singularValues: readonly number[];
}

/** Reduces a product without making it: O(r²·(in + out)) operations, O(r·(in + out)) memory, f64. */
export function reduceProduct({ a, b }: LowRankProduct): ReducedProduct {
  const [ofA, ofB] = [triangularFactor(a), triangularFactor(b)];
  const core = combine(ofB, ofA);
  const values = singularValues(core);
  const rank = Math.min(core.length, core[0].length);
  return { rows: combine(ofB, a), columns: combine(ofA, b), singularValues: values.slice(0, rank) };
}

/** Σ_c coefficients_c[i]·vectors_c for each i. */
function combine(coefficients: Vectors, vectors: Vectors): Float64Array[] {
  return Array.from(coefficients[0], (_, i) => {
    const out = new Float64Array(vectors[0].length);
    vectors.forEach((vector, c) => {
      addScaled(out, vector, coefficients[c][i]);
    });
    return out;
  });
}

/** The columns of R in M = Q·R, M's columns given: Householder's reflections, below the diagonal rounding errors. */
function triangularFactor(columns: Vectors): Float64Array[] {
  const rest = columns.map((column) => column.slice());
  const height = Math.min(columns.length, columns[0].length);
  for (let k = 0; k < height; k++) {
    const largest = rest[k].subarray(k).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    if (largest === 0) continue;
    const normal = rest[k].slice(k).map((x) => x / largest);
    const norm = Math.sqrt(dot(normal, normal));
    normal[0] += normal[0] < 0 ? -norm : norm;
    const square = dot(normal, normal);
    for (const column of rest.slice(k)) {
      const below = column.subarray(k);
      addScaled(below, normal, (-2 * dot(normal, below)) / square);
    }
  }
  return rest.map((column) => column.slice(0, height));
}

/** The singular values of the matrix with these rows, the largest first, one a row. */
function singularValues(rows: Vectors): number[] {
  const turned = rows.map((row) => row.slice());
  orthogonalize(turned);
  return turned.map((row) => Math.sqrt(dot(row, row))).sort((x, y) => y - x);
}
