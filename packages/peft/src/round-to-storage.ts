import { fromFloat32, toFloat32 } from '@flex/tensor/safetensors';

/** How a weight may be stored. */
export const storageTypes = ['f32', 'f16', 'bf16', 'int8', 'nf4'] as const;
export type StorageType = (typeof storageTypes)[number];

/** Numbers that share a scale in nf4. */
const nf4Block = 64;

/**
 * The 16 values of NF4: quantiles of the normal distribution, scaled to [−1, 1], of which one is 0.
 * Source: Dettmers et al. 2023, QLoRA, arXiv:2305.14314, appendix E.
 */
const nf4Values = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/**
 * The numbers that a weight w f32 [n, columns] has once it is stored so, in f32 again:
 *
 * - f32, f16, bf16: w rounded to nearest even.
 * - int8: c·round(w / c) with a scale c = max|row| / 127 for each row, f32 (LLM.int8's weights: Dettmers et
 *   al. 2022, arXiv:2208.07339), ties to even.
 * - nf4: c·(the value of NF4 nearest to w / c), the smaller of two that are as near, with c = max|block| for
 *   each 64 numbers in a row-major run, f32. The scales themselves are not rounded, as they are in double
 *   quantization.
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
