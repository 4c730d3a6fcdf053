import { DataError } from '@flex/base';
import { toFloat16Bits } from '@flex/tensor';

/** Numbers that share a scale. */
const block = 32;

/**
 * Blocks of 32 numbers x as Q8_0 has them: d = max|x| / 127 as f16, then x / d as 32 whole numbers, halves
 * away from zero, with the d that is not rounded yet. The bytes of ggml's own quantize_row_q8_0, whose
 * quotients and products are rounded to f32. Throws DataError, which names the tensor, for a number that is
 * not finite or that no f16 can scale.
 */
export function quantizeQ8(name: string, values: Float32Array): Uint8Array {
  const scales = new Float32Array(values.length / block);
  for (let k = 0; k < scales.length; k++) scales[k] = scaleOf(values, k * block);
  const halves = toFloat16Bits(scales);
  const wrong = halves.findIndex((bits) => bits >= 0x7c00);
  if (wrong >= 0) {
    const came = values
      .subarray(wrong * block, (wrong + 1) * block)
      .find((x) => !(Math.abs(x) < 127 * 65504));
    throw new DataError(`tensor "${name}" holds ${came}, which Q8_0 cannot hold; take a wider dtype`);
  }
  const bytes = new Uint8Array(scales.length * (2 + block));
  const wholes = new Int8Array(bytes.buffer);
  for (let k = 0; k < scales.length; k++) {
    const at = k * (2 + block);
    bytes[at] = halves[k] & 0xff;
    bytes[at + 1] = halves[k] >> 8;
    // A scale that has no inverse is 0 in f16.
    const inverse = scales[k] < 2 ** -126 ? 0 : Math.fround(1 / scales[k]);
    for (let i = 0; i < block; i++) {
      const x = Math.fround(values[k * block + i] * inverse);
      wholes[at + 2 + i] = x < 0 ? -Math.floor(0.5 - x) : Math.floor(0.5 + x);
    }
  }
  return bytes;
}

/** max|x| / 127 of a block; not finite where one of its numbers is not. */
function scaleOf(values: Float32Array, from: number): number {
  let largest = 0;
  for (let i = from; i < from + block; i++) {
    const size = Math.abs(values[i]);
    if (Number.isNaN(size)) return Number.POSITIVE_INFINITY;
    if (size > largest) largest = size;
  }
  return largest / 127;
}
