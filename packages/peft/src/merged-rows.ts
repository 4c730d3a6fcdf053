import { DataError } from '@flex/base';
import type { WeightChange } from './weight-changes.ts';
import { columnsOf, rowPieces, type WeightFiles } from './weight-files.ts';

/** Some consecutive rows of a weight. */
export interface MergedRows {
  /** W f32 [n, columns]. */
  readonly own: Float32Array;
  /** W' f64 [n, columns]. */
  readonly merged: Float64Array;
}

/**
 * The one definition of a merged weight W': W + s·B·A, all its rows in order, in pieces of about `chunkBytes`
 * of f32; with DoRA's magnitude m, row i is mᵢ·(W + s·B·A)ᵢ / ‖(W + s·B·A)ᵢ‖₂; a weight or a row that was
 * trained whole stands in the place of W's. Computed in f64. Throws DataError, which names the tensor, for a
 * number that is not finite in f32.
 */
export function* mergedRows(
  files: WeightFiles,
  name: string,
  change: WeightChange,
  chunkBytes: number,
): Generator<MergedRows, void, undefined> {
  const columns = columnsOf(files.spec(name).shape);
  let i = 0;
  for (const own of rowPieces(files, name, chunkBytes)) {
    const merged = new Float64Array(own);
    for (let at = 0; at < merged.length; at += columns, i++) {
      mergeRow(merged.subarray(at, at + columns), i, change);
    }
    const wrong = merged.find((x) => !Number.isFinite(Math.fround(x)));
    if (wrong !== undefined) {
      throw new DataError(`tensor "${name}" would hold ${wrong} once the adapter is merged into it`);
    }
    yield { own, merged };
  }
}

/** Makes row i of W that of W', in place. */
function mergeRow(row: Float64Array, i: number, { whole, rows, pairs, magnitude }: WeightChange): void {
  const columns = row.length;
  const instead = rows?.get(i) ?? whole?.subarray(i * columns, (i + 1) * columns);
  if (instead) row.set(instead);
  for (const { left, right, rank, scale } of pairs) {
    for (let k = 0; k < rank; k++) {
      const factor = scale * left[i * rank + k];
      for (let j = 0; j < columns; j++) row[j] += factor * right[k * columns + j];
    }
  }
  if (!magnitude) return;
  const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
  for (let j = 0; j < columns; j++) row[j] *= magnitude[i] / norm;
}
