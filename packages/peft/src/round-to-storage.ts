import { nf4Values } from '@flex/tensor';
import { fromFloat32, toFloat32 } from '@flex/tensor/safetensors';

/** How a weight may be stored. */
export const storageTypes = ['f32', 'f16', 'bf16', 'int8', 'nf4'] as const;
export type StorageType = (typeof storageTypes)[number];

/** Whether a weight is stored as a type where the model is: int8 and nf4 are for the weights of `paths` alone. */
export function storedWeights(paths: Iterable<string>): (name: string, storage: StorageType) => boolean {
  const ofModules = new Set([...paths].map((path) => `${path}.weight`));
  return (name, storage) => (storage !== 'int8' && storage !== 'nf4') || ofModules.has(name);
}

/** Numbers that share a scale in nf4. */
const nf4Block = 64;

/**
 * The numbers that a weight w f32 [n, columns] has once it is stored so, in f32 again:
 *
 * - f32, f16, bf16: w rounded to nearest even.
 * - int8: c·round(w / c) with a scale c = max|row| / 127 for each row, f32 (LLM.int8's weights: Dettmers et
 *   al. 2022, arXiv:2208.07339), ties to even.
 * - nf4: c·(the value of NF4 nearest to w / c), the smaller of two that are as near, with c = max|block| for
 *   each 64 numbers in a row-major run, f32. The scales themselves are not rounded, as those of a weight are
 *   that is kept so (`quantize`): they depend on one another, and here a piece comes at a time.
 *
 * Pieces of a weight may be rounded one by one where they are whole rows and whole blocks. Throws DataError,
 * which names the tensor, for a finite number that f16 or bf16 cannot hold.
 */
export function roundToStorage(
  w: Float32Array,
  { name, columns, storage }: { name: string; columns: number; storage: StorageType },
): Float32Array {
  if (storage === 'f32') return w;
  if (storage === 'int8') return eachRun(w, columns, roundToInt8);
  if (storage === 'nf4') return eachRun(w, nf4Block, roundToNf4);
  const dtype = storage === 'f16' ? 'F16' : 'BF16';
  return toFloat32(dtype, new Uint8Array(fromFloat32(name, dtype, w).buffer));
}

type Rounding = (run: Float32Array, largest: number) => Float32Array;

/** Rounds runs of `length` numbers, the last perhaps shorter; one that is all zero stays. */
function eachRun(w: Float32Array, length: number, round: Rounding): Float32Array {
  const out = new Float32Array(w.length);
  for (let at = 0; at < w.length; at += length) {
    const run = w.subarray(at, at + length);
    const largest = run.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    if (largest > 0) out.set(round(run, largest), at);
  }
  return out;
}

function roundToInt8(run: Float32Array, largest: number): Float32Array {
  const scale = Math.fround(largest / 127);
  if (scale === 0) return new Float32Array(run.length);
  return run.map((x) => scale * toNearestEven(x / scale));
}

function toNearestEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

function roundToNf4(run: Float32Array, largest: number): Float32Array {
  return run.map((x) => largest * nearestNf4(x / largest));
}

function nearestNf4(x: number): number {
  let i = 0;
  while (i + 1 < nf4Values.length && x > (nf4Values[i] + nf4Values[i + 1]) / 2) i++;
  return nf4Values[i];
}
