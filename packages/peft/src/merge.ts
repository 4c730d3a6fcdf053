import { DataError } from '@flex/base';
import { mergedRows } from './merged-rows.ts';
import { type StorageType, storedNumbers, storedWeights } from './round-to-storage.ts';
import type { WeightChange } from './weight-changes.ts';
import { rowPieces, type WeightFiles, withValues } from './weight-files.ts';

/**
 * The same weights with those that an adapter changes in place of the model's own: W + s·B·A (see
 * `mergedRows`), as F32, each number the f32 nearest to its sum. What is written or loaded of them as f16 or
 * bf16 is rounded once more, and so is the same on every machine and device. Throws DataError where a weight
 * is not there.
 */
export function mergedCheckpoint<Files extends WeightFiles>(
  files: Files,
  changes: ReadonlyMap<string, WeightChange>,
): Files {
  const missing = [...changes.keys()].find((name) => !files.has(name));
  if (missing !== undefined) throw new DataError(`merge: the model has no tensor "${missing}"`);
  return withValues(
    files,
    (name) => changes.has(name),
    function* (name, chunkBytes) {
      for (const { merged } of mergedRows(files, name, changes.get(name)!, chunkBytes)) {
        yield new Float32Array(merged);
      }
    },
  );
}

/**
 * The same weights with the numbers that a storage type leaves of them, as F32: of f16 and bf16 all weights,
 * of int8 and nf4 those of the modules in `paths`, the same as `model.quantize` has of them. Throws as
 * `storedNumbers` does.
 */
export function roundedCheckpoint<Files extends WeightFiles>(
  files: Files,
  storage: StorageType,
  paths: Iterable<string>,
): Files {
  if (storage === 'f32') return files;
  const isStored = storedWeights(paths);
  return withValues(
    files,
    (name) => isStored(name, storage),
    function* (name, chunkBytes) {
      const { shape } = files.spec(name);
      yield* storedNumbers({ name, shape, storage }, rowPieces(files, name, chunkBytes));
    },
  );
}
