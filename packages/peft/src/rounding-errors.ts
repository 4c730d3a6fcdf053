import { mergedRows } from './merged-rows.ts';
import { roundToStorage, type StorageType, storedWeights } from './round-to-storage.ts';
import type { WeightChange } from './weight-changes.ts';
import { columnsOf, type WeightFiles } from './weight-files.ts';

/** What storing a merged weight W' loses, in Frobenius norms. */
export interface RoundingErrors {
  /** ‖W' − W‖, before anything is rounded. */
  readonly delta: number;
  /** ‖W' as it is stored − W'‖ by storage type. */
  readonly errors: ReadonlyMap<StorageType, number>;
}

const chunkBytes = 16 * 2 ** 20;

/**
 * The rounding errors of each merged weight, by its name, int8 and nf4 being for the modules of `paths` alone.
 * Throws what reading and rounding throw.
 */
export function* roundingErrors(
  files: WeightFiles,
  changes: ReadonlyMap<string, WeightChange>,
  storages: readonly StorageType[],
  paths: Iterable<string>,
): Generator<[name: string, RoundingErrors], void, undefined> {
  const isStored = storedWeights(paths);
  for (const [name, change] of changes) {
    const columns = columnsOf(files.spec(name).shape);
    let delta = 0;
    const squares = new Map(storages.map((storage) => [storage, 0]));
    for (const { own, merged } of mergedRows(files, name, change, chunkBytes)) {
      delta += squaredDistance(own, merged);
      const sums = new Float32Array(merged);
      for (const [storage, before] of squares) {
        const stored = isStored(name, storage) ? roundToStorage(sums, { name, columns, storage }) : sums;
        squares.set(storage, before + squaredDistance(stored, merged));
      }
    }
    const errors = new Map([...squares].map(([storage, square]) => [storage, Math.sqrt(square)]));
    yield [name, { delta: Math.sqrt(delta), errors }];
  }
}

function squaredDistance(a: Float32Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}
