import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bfloat16BitsToFloat16Bits,
  bfloat16BitsToFloat32,
  float16BitsToFloat32,
  toBfloat16Bits,
  toFloat16Bits,
} from './half-floats.ts';

const allPatterns = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);

/** The patterns of which this is not true: an assertion for each of 65,536 would take a second. */
function exceptions(isTrue: (bits: number) => boolean): number[] {
  return [...allPatterns.filter((bits) => !isTrue(bits))];
}

/** The value by definition: (−1)^s · 2^(e − bias) · (1 + m / 2^w), without the hidden 1 where e is 0. */
function meaning(bits: number, width: number, bias: number): number {
  const sign = bits >> 15 ? -1 : 1;
  const fraction = bits % 2 ** width;
  const exponent = ((bits % 2 ** 15) - fraction) / 2 ** width;
  if (exponent === 2 ** (15 - width) - 1) return fraction === 0 ? sign * Infinity : Number.NaN;
  if (exponent === 0) return sign * 2 ** (1 - bias) * (fraction / 2 ** width);
  return sign * 2 ** (exponent - bias) * (1 + fraction / 2 ** width);
}

const half = (bits: number) => meaning(bits, 10, 15);
const bfloat = (bits: number) => meaning(bits, 7, 127);

/**
 * The pattern nearest to x by search among the values themselves. The infinite one counts as the value that
 * would follow the largest, as rounding to nearest has it.
 */
function nearest(x: number, value: (bits: number) => number, infinity: number): number {
  const sign = Object.is(Math.sign(x), -0) || x < 0 ? 0x8000 : 0;
  const target = Math.abs(x);
  const beyond = 2 * value(infinity - 1) - value(infinity - 2);
  const at = (bits: number) => (bits === infinity ? beyond : value(bits));
  let low = 0;
  let high = infinity;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (at(middle) <= target) low = middle;
    else high = middle;
  }
  const [below, above] = [target - at(low), at(high) - target];
  if (below === above) return sign | (low % 2 === 0 ? low : high);
  return sign | (below < above ? low : high);
}

const nearestHalf = (x: number) => nearest(x, half, 0x7c00);
const nearestBfloat = (x: number) => nearest(x, bfloat, 0x7f80);

const single = fc.float({ noNaN: true });
const nearHalfRange = fc.float({ noNaN: true, min: -70000, max: 70000 });
const subnormal = fc.float({ noNaN: true, min: Math.fround(-(2 ** -13)), max: Math.fround(2 ** -13) });

describe('f16', () => {
  it('every pattern widens to its value by definition', () => {
    const values = float16BitsToFloat32(allPatterns);
    expect(exceptions((bits) => Object.is(values[bits], half(bits)))).toEqual([]);
  });

  it('every pattern survives widening and narrowing, a NaN made quiet', () => {
    const back = toFloat16Bits(float16BitsToFloat32(allPatterns));
    expect(exceptions((bits) => back[bits] === (Number.isNaN(half(bits)) ? bits | 0x200 : bits))).toEqual([]);
  });

  it('narrowing takes the nearest value, and the even one of two', () => {
    const check = (x: number): void => {
      expect(toFloat16Bits(Float32Array.of(x))[0], `${x}`).toBe(nearestHalf(x));
    };
    fc.assert(fc.property(fc.oneof(single, nearHalfRange, subnormal), check), { numRuns: 20_000 });
    expect([...toFloat16Bits(Float32Array.of(Infinity, -Infinity))]).toEqual([0x7c00, 0xfc00]);
  });

  it('narrowing rounds right at and beside every tie between two neighbours', () => {
    const real = Float32Array.from({ length: 0x7bff }, (_, bits) => (half(bits) + half(bits + 1)) / 2);
    const shifted = (steps: number) =>
      new Float32Array(new Uint32Array(real.buffer).map((bits) => bits + steps).buffer);
    const lower = allPatterns.subarray(0, 0x7bff);
    expect(toFloat16Bits(real)).toEqual(lower.map((bits) => bits + (bits % 2)));
    expect(toFloat16Bits(real.map((x) => -x))).toEqual(lower.map((bits) => 0x8000 + bits + (bits % 2)));
    expect(toFloat16Bits(shifted(-1))).toEqual(lower);
    expect(toFloat16Bits(shifted(1))).toEqual(lower.map((bits) => bits + 1));
  });

  it('becomes infinite from half a step beyond the largest value, and zero up to half the smallest', () => {
    const largest = Math.fround(65519.996);
    const inputs = Float32Array.of(65504, largest, 65520, -65520, 1e30, 2 ** -25, 2 ** -149, -(2 ** -25), -0);
    const expected = [0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x7c00, 0, 0, 0x8000, 0x8000];
    expect([...toFloat16Bits(inputs)]).toEqual(expected);
  });
});

describe('bf16', () => {
  it('every pattern widens to its value by definition', () => {
    const values = bfloat16BitsToFloat32(allPatterns);
    expect(exceptions((bits) => Object.is(values[bits], bfloat(bits)))).toEqual([]);
  });

  it('every pattern survives widening and narrowing, a NaN made quiet', () => {
    const back = toBfloat16Bits(bfloat16BitsToFloat32(allPatterns));
    expect(exceptions((bits) => back[bits] === (Number.isNaN(bfloat(bits)) ? bits | 0x40 : bits))).toEqual(
      [],
    );
  });

  it('narrowing takes the nearest value, and the even one of two', () => {
    const check = (x: number): void => {
      expect(toBfloat16Bits(Float32Array.of(x))[0], `${x}`).toBe(nearestBfloat(x));
    };
    fc.assert(fc.property(fc.oneof(single, subnormal), check), { numRuns: 20_000 });
    for (let bits = 0; bits < 0x7f7f; bits += 7) check((bfloat(bits) + bfloat(bits + 1)) / 2);
  });

  it('every pattern goes to f16 as its value does', () => {
    const halves = bfloat16BitsToFloat16Bits(allPatterns);
    const agrees = (bits: number): boolean => {
      const value = bfloat(bits);
      return Number.isNaN(value) ? Number.isNaN(half(halves[bits])) : halves[bits] === nearestHalf(value);
    };
    expect(exceptions(agrees)).toEqual([]);
  });
});

it('a view into the middle of a buffer is converted, and nothing around it', () => {
  const values = Float32Array.of(9, 1, -2, 9).subarray(1, 3);
  expect([...toFloat16Bits(values)]).toEqual([0x3c00, 0xc000]);
  expect([...toBfloat16Bits(values)]).toEqual([0x3f80, 0xc000]);
});

describe('the conversions of long arrays', () => {
  const conversions = {
    bfloat16BitsToFloat16Bits,
    bfloat16BitsToFloat32,
    float16BitsToFloat32,
    toFloat16Bits: (bits: Uint16Array) => toFloat16Bits(new Float32Array(bits.buffer, 0, bits.length >> 1)),
  };

  it.each(Object.entries(conversions))('%s gives what short ones give', (_, convert) => {
    const lengths = fc.record({ length: fc.integer({ min: 2, max: 40_000 }), seed: fc.nat() });
    fc.assert(
      fc.property(lengths, ({ length, seed }) => {
        // Numbers as weights are, and among them any patterns: neighbours are converted together.
        const any = (i: number) => Math.imul(i + seed, 0x9e3779b1) >>> 15;
        const bits = Uint16Array.from({ length: 2 * length }, (_, i) =>
          any(i) % 7 === 0 ? any(i + 1) : 0x3c00 + (any(i) % 0x200),
        );
        const whole = convert(bits);
        const parts: number[] = [];
        for (let at = 0; at < bits.length; at += 500) parts.push(...convert(bits.slice(at, at + 500)));
        const isSame = (x: number, i: number) => Object.is(x, parts[i]);
        expect(whole.findIndex((x, i) => !isSame(x, i))).toBe(-1);
        expect(whole).toHaveLength(parts.length);
      }),
      { numRuns: 10 },
    );
  });
});
