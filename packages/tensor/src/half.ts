/**
 * IEEE binary16 to and from f32, by integer arithmetic on the bits; no platform of Node 20 has a
 * Float16Array.
 */

const word = new Uint32Array(1);
const real = new Float32Array(word.buffer);

/** The bits of x rounded to f32, then to the nearest f16, ties to even; beyond 65,519.99… it is infinite. */
function encode(x: number): number {
  real[0] = x;
  const bits = word[0];
  const sign = (bits >>> 16) & 0x8000;
  const abs = bits & 0x7fffffff;
  if (abs >= 0x47800000) return sign | (abs > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (abs < 0x38800000) {
    // A subnormal f16 counts units of 2^-24, which is the spacing of f32 just above 1/2: the addition rounds.
    word[0] = abs;
    real[0] += 0.5;
    return sign | (word[0] - 0x3f000000);
  }
  const rebiased = abs - 0x38000000;
  return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
}

let table: Float32Array | undefined;

function decodeTable(): Float32Array {
  if (table) return table;
  table = new Float32Array(1 << 16);
  for (let bits = 0; bits < 1 << 16; bits++) {
    const exponent = (bits >>> 10) & 31;
    const fraction = bits & 1023;
    let value = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    if (exponent === 31) value = fraction ? Number.NaN : Number.POSITIVE_INFINITY;
    table[bits] = bits & 0x8000 ? -value : value;
  }
  return table;
}

/** The f16 bits of each number, rounded to nearest even (through f32). */
export function toHalfBits(numbers: ArrayLike<number>): Uint16Array {
  const out = new Uint16Array(numbers.length);
  for (let i = 0; i < out.length; i++) out[i] = encode(numbers[i]);
  return out;
}

/** The value of each f16, exact in f32. */
export function fromHalfBits(bits: Uint16Array): Float32Array {
  const values = decodeTable();
  const out = new Float32Array(bits.length);
  for (let i = 0; i < out.length; i++) out[i] = values[bits[i]];
  return out;
}
