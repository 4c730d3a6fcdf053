import { mergedRows } from './merged-rows.ts';
import { newStorageLoss, type StorageType, squaredDistance, storedWeights } from './round-to-storage.ts';
import type { WeightChange } from './weight-changes.ts';
import type { WeightFiles } from './weight-files.ts';

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
    const { shape } = files.spec(name);
    const losses = storages.map((storage) => {
      const stored = isStored(name, storage) ? storage : 'f32';
      return [storage, newStorageLoss({ name, shape, storage: stored })] as const;
    });
    let delta = 0;
    for (const { own, merged } of mergedRows(files, name, change, chunkBytes)) {
      delta += squaredDistance(own, merged);
      const sums = new Float32Array(merged);
      for (const [, loss] of losses) loss.add(sums, merged);
    }
    const errors = new Map(losses.map(([storage, loss]) => [storage, loss.end()]));
    yield [name, { delta: Math.sqrt(delta), errors }];
  }
}
