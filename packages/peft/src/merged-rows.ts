import { ConfigError, DataError } from '@flex/base';
import type { HostArray } from '@flex/tensor';
import type { AdapterPair, Adapters } from './adapters.ts';
import { type LoraConfig, scaleOf } from './lora.ts';
import { columnsOf, rowPieces, type WeightFiles } from './weight-files.ts';

/** A module's adapter in the host's memory: W' = W + s·L·R, its rows scaled to `magnitude` where there is one. */
export interface HostAdapter {
  /** L [rows of W, r]: B of a linear layer. */
  readonly left: HostArray;
  /** R [r, columns of W]: A of a linear layer. */
  readonly right: HostArray;
  readonly rank: number;
  readonly scale: number;
  /** DoRA's m [rows of W]. */
  readonly magnitude?: HostArray;
}

/** Throws ConfigError for an adapter with a bias. */
export function requireNoBias(path: string, { bias }: AdapterPair): void {
  if (!bias) return;
  throw new ConfigError(
    `merge: the adapter of ${path} has a bias (lora_bias), which no layer of a Llama has; leave it unmerged`,
  );
}

/** Adapters in the host's memory, by module path. Throws ConfigError for one with a bias. */
export async function hostAdapters(
  adapters: Adapters,
  config: LoraConfig,
): Promise<Map<string, HostAdapter>> {
  const found = new Map<string, HostAdapter>();
  for (const [path, pair] of adapters) {
    requireNoBias(path, pair);
    const { a, b, magnitude } = pair;
    const [left, right, m] = await Promise.all([b.data(), a.data(), magnitude?.data()]);
    found.set(path, { left, right, rank: a.shape[0], scale: scaleOf(config, path), magnitude: m });
  }
  return found;
}

/** Some consecutive rows of a weight. */
export interface MergedRows {
  /** W f32 [n, columns]. */
  readonly own: Float32Array;
  /** W' f64 [n, columns]. */
  readonly merged: Float64Array;
}

/**
 * The one definition of a merged weight: W + s·B·A, all its rows in order, in pieces of about `chunkBytes` of f32;
 * with DoRA's magnitude m, row i is mᵢ·(W + s·B·A)ᵢ / ‖(W + s·B·A)ᵢ‖₂. Computed in f64. Throws DataError, which
 * names the tensor, for a number that is not finite.
 */
export function* mergedRows(
  files: WeightFiles,
  name: string,
  adapter: HostAdapter,
  chunkBytes: number,
): Generator<MergedRows, void, undefined> {
  const columns = columnsOf(files.spec(name).shape);
  let i = 0;
  for (const own of rowPieces(files, name, chunkBytes)) {
    const merged = new Float64Array(own);
    for (let at = 0; at < merged.length; at += columns, i++) {
      mergeRow(merged.subarray(at, at + columns), i, adapter);
    }
    const wrong = merged.find((x) => !Number.isFinite(Math.fround(x)));
    if (wrong !== undefined) {
      throw new DataError(`tensor "${name}" would hold ${wrong} once the adapter is merged into it`);
    }
    yield { own, merged };
  }
}

/** Makes row i of W that of W', in place. */
function mergeRow(row: Float64Array, i: number, { left, right, rank, scale, magnitude }: HostAdapter): void {
  const columns = row.length;
  for (let k = 0; k < rank; k++) {
    const factor = scale * left[i * rank + k];
    for (let j = 0; j < columns; j++) row[j] += factor * right[k * columns + j];
  }
  if (!magnitude) return;
  const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
  for (let j = 0; j < columns; j++) row[j] *= magnitude[i] / norm;
}
