// Conversions between f32, f16 and bf16 by integer arithmetic on the bits: billions of weights pass here, so
// that longer arrays take SIMD where there is any. The loops are the definition.

import { type Conversion, convertBits } from './half-floats-simd.ts';

let halfTable: Uint32Array | undefined;
let bfloatTable: Uint16Array | undefined;

/** Elements from which SIMD is worth its call. */
const long = 1024;

const bitsOf = ({ buffer, byteOffset, length }: Float32Array) => new Uint32Array(buffer, byteOffset, length);

/** Whether SIMD has converted an array that is long. */
const isConverted = (
  conversion: Conversion,
  from: Uint16Array | Uint32Array,
  to: Uint16Array | Uint32Array,
) => from.length >= long && convertBits(conversion, from, to, bfloatToHalfBits);

/** The f32 bits of each of the 65,536 f16 patterns; a NaN keeps its sign and payload. */
function halfToSingleBits(): Uint32Array {
  if (halfTable) return halfTable;
  halfTable = new Uint32Array(1 << 16);
  for (let bits = 0; bits < 1 << 16; bits++) {
    const sign = (bits & 0x8000) * 0x10000;
    const exponent = (bits >>> 10) & 31;
    let fraction = bits & 1023;
    let rebiased = exponent === 31 ? 255 : exponent + 112;
    if (exponent === 0 && fraction === 0) rebiased = 0;
    else if (exponent === 0) {
      // Every f16 subnormal is normal in f32: move its leading 1 up to the hidden place.
      const shift = Math.clz32(fraction) - 21;
      fraction = (fraction << shift) & 1023;
      rebiased = 113 - shift;
    }
    halfTable[bits] = sign + rebiased * 0x800000 + fraction * 0x2000;
  }
  return halfTable;
}

/** The f16 bits nearest to the f32 whose bits are given, ties to even; a NaN stays one. */
function singleToHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const abs = bits & 0x7fffffff;
  if (abs > 0x7f800000) return sign | 0x7e00 | ((abs >>> 13) & 1023);
  if (abs >= 0x47800000) return sign | 0x7c00;
  if (abs >= 0x38800000) return sign | ((abs - 0x38000000 + 0xfff + ((abs >>> 13) & 1)) >>> 13);
  // A subnormal counts units of 2^-24. With the hidden 1, the f32 counts units of 2^(exponent - 150).
  const shift = 126 - (abs >>> 23);
  if (shift > 24) return sign;
  const count = (abs & 0x7fffff) | 0x800000;
  const whole = count >>> shift;
  const rest = count - (whole << shift);
  const half = 1 << (shift - 1);
  return sign | (whole + (rest > half || (rest === half && (whole & 1) === 1) ? 1 : 0));
}

/** The exact f32 value of each f16. `into` holds as many elements, and is what is returned. */
export function float16BitsToFloat32(bits: Uint16Array, into = new Float32Array(bits.length)): Float32Array {
  const out = bitsOf(into);
  if (!isConverted('f16 f32', bits, out)) {
    const table = halfToSingleBits();
    for (let i = 0; i < out.length; i++) out[i] = table[bits[i]];
  }
  return into;
}

/** The exact f32 value of each bf16, which is the upper half of an f32; `into` as above. */
export function bfloat16BitsToFloat32(bits: Uint16Array, into = new Float32Array(bits.length)): Float32Array {
  const out = bitsOf(into);
  if (!isConverted('bf16 f32', bits, out)) for (let i = 0; i < out.length; i++) out[i] = bits[i] << 16;
  return into;
}

/**
 * The f16 bits nearest to each number, ties to even.
 * From 65,520 on they are infinite, up to 2^-25 zero; signs are kept, and a NaN stays one.
 */
export function toFloat16Bits(values: ArrayLike<number>, out = new Uint16Array(values.length)): Uint16Array {
  // NUMERICS: numbers of another type are rounded to f32 first.
  const singles = values instanceof Float32Array ? values : Float32Array.from(values);
  const bits = bitsOf(singles);
  if (!isConverted('f32 f16', bits, out)) {
    for (let i = 0; i < out.length; i++) out[i] = singleToHalf(bits[i]);
  }
  return out;
}

/** The bf16 bits nearest to each number, ties to even; signs are kept, and a NaN stays one. */
export function toBfloat16Bits(values: Float32Array): Uint16Array {
  const bits = bitsOf(values);
  const out = new Uint16Array(bits.length);
  for (let i = 0; i < out.length; i++) {
    const word = bits[i];
    const notANumber = (word & 0x7fffffff) > 0x7f800000;
    out[i] = notANumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** The f16 bits of each of the 65,536 bf16 patterns. */
function bfloatToHalfBits(): Uint16Array {
  bfloatTable ??= Uint16Array.from({ length: 1 << 16 }, (_, pattern) => singleToHalf(pattern << 16));
  return bfloatTable;
}

/** The f16 bits nearest to each bf16, ties to even: equal to going through f32, which is exact. */
export function bfloat16BitsToFloat16Bits(
  bits: Uint16Array,
  out = new Uint16Array(bits.length),
): Uint16Array {
  if (!isConverted('bf16 f16', bits, out)) {
    const table = bfloatToHalfBits();
    for (let i = 0; i < out.length; i++) out[i] = table[bits[i]];
  }
  return out;
}
