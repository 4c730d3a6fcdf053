import type { Body } from './body.ts';
import { multiplyAdd } from './multiply-add.ts';
import { f32x4, f64x2, i32x4, i64x2, shuffle32, type V128, v128 } from './values.ts';

// Functions of f32x4, called while a body is written: `const y = math.exp(w, x)` adds statements to it that
// compute the result and what it is made of once, and gives its name. Their polynomials have the least
// maximal error (Remez) on the interval that is left after reduction. Subnormal numbers are taken and given:
// results are within 1 ulp of the real number rounded to f32, those of sigmoid within 2.

const { add, sub, mul, div } = f32x4;
const splat = (value: number) => f32x4.const(value);
const bits = (value: number) => i32x4.const(value);

/** c₀ + c₁x + c₂x² + … in f32x4. */
const series = (x: V128, coefficients: readonly number[]): V128 =>
  coefficients.map(splat).reduceRight((sum, c) => multiplyAdd(sum, x, c));

/** The same in f64x2. */
const wideSeries = (x: V128, coefficients: readonly number[]): V128 =>
  coefficients.map((c) => f64x2.const(c)).reduceRight((sum, c) => f64x2.add(f64x2.mul(sum, x), c));

/** Added to a small number, it leaves that rounded to a whole one, in the low bits too. */
const rounder = { f32: 1.5 * 2 ** 23, f64: 1.5 * 2 ** 52 };
/** ln 2 in two parts, of which the first has so few bits that its whole multiples up to 2⁹ are exact. */
const ln2 = { high: 0.693145751953125, low: 1.428606765330187e-6 };

/** eˣ = 2ⁿ·eʳ, n = round(x / ln 2). */
export function exp(w: Body, x: V128): V128 {
  // NUMERICS: beyond these bounds eˣ is 0 or ∞ in f32 all the same; NaN passes both.
  const bounded = w.let(f32x4.pmin(f32x4.pmax(x, splat(-104)), splat(89)));
  // NUMERICS: 2ⁿ in two factors, so that subnormal results are rounded once. The low bits of `shifted` are n and
  // twice the bias of an exponent, of which each factor takes half.
  const shift = splat(rounder.f32 + 2 * 127);
  const shifted = w.let(multiplyAdd(bounded, splat(Math.LOG2E), shift));
  const n = w.let(sub(shifted, shift));
  const r = w.let(multiplyAdd(n, splat(-ln2.low), multiplyAdd(n, splat(-ln2.high), bounded)));
  // (eʳ − 1 − r) / r² on |r| ≤ ln 2 / 2.
  const tail = series(r, [0.5, 0.16666518, 0.041666206, 0.008368903, 0.0013950515]);
  const power = add(multiplyAdd(mul(r, r), tail, r), splat(1));
  const half = w.let(i32x4.shrU(shifted, 1));
  const factors = [half, i32x4.sub(shifted, half)].map((exponent) => i32x4.shl(exponent, 23));
  return w.let(mul(mul(power, factors[0]), factors[1]));
}

const floatBits = (value: number): number => new Int32Array(Float32Array.of(value).buffer)[0];

/** ln x = k·ln 2 + ln(1 + f), √½ < 1 + f < √2; −∞ of 0, NaN below. */
export function log(w: Body, x: V128): V128 {
  const given = w.let(x);
  const isSubnormal = w.let(f32x4.lt(given, splat(2 ** -126)));
  const normal = w.let(mul(given, v128.bitselect(splat(2 ** 23), splat(1), isSubnormal)));
  const offset = w.let(i32x4.sub(normal, bits(floatBits(Math.SQRT1_2))));
  const exponent = i32x4.sub(i32x4.shrS(offset, 23), v128.and(isSubnormal, bits(23)));
  const k = w.let(f32x4.convertI32x4S(exponent));
  const mantissa = i32x4.add(v128.and(offset, bits(0x7fffff)), bits(floatBits(Math.SQRT1_2)));
  const f = w.let(sub(mantissa, splat(1)));
  // ln(1 + f) = f − f²/2 + s·(f²/2 + R(s²)) with s = f / (2 + f), as in fdlibm (Sun Microsystems 1993).
  const s = w.let(div(f, add(f, splat(2))));
  const z = w.let(mul(s, s));
  const rest = mul(z, series(z, [0.6666678, 0.39977083, 0.29885137]));
  const square = w.let(mul(mul(f, f), splat(0.5)));
  const low = multiplyAdd(s, add(square, rest), mul(k, splat(ln2.low)));
  const finite = multiplyAdd(k, splat(ln2.high), sub(f, sub(square, low)));
  const atZero = v128.bitselect(splat(-Infinity), splat(NaN), f32x4.eq(given, splat(0)));
  const outside = v128.bitselect(given, atZero, f32x4.gt(given, splat(0)));
  const isInside = v128.and(f32x4.gt(given, splat(0)), f32x4.lt(given, splat(Infinity)));
  return w.let(v128.bitselect(finite, outside, isInside));
}

/** 1 − 2 / (e²ˣ + 1), and near 0 a polynomial; of |x|, with the sign of x. */
export function tanh(w: Body, x: V128): V128 {
  const given = w.let(x);
  const size = w.let(f32x4.abs(given));
  const square = w.let(mul(size, size));
  // (tanh √z / √z − 1) / z on z ≤ 0.625².
  const coefficients = [-0.33333284, 0.13331491, -0.0537435, 0.020650592, -0.0057170503];
  const near = multiplyAdd(mul(size, square), series(square, coefficients), size);
  const far = sub(splat(1), div(splat(2), add(exp(w, add(size, size)), splat(1))));
  const value = v128.bitselect(near, far, f32x4.lt(size, splat(0.625)));
  return w.let(v128.or(value, v128.and(given, bits(0x80000000))));
}

/** 1 / (1 + e⁻ˣ), of e to the power −|x| so that nothing overflows. */
export function sigmoid(w: Body, x: V128): V128 {
  const given = w.let(x);
  const e = w.let(exp(w, f32x4.neg(f32x4.abs(given))));
  const above = v128.bitselect(e, splat(1), f32x4.lt(given, splat(0)));
  return w.let(div(above, add(e, splat(1))));
}

/** xʸ as Math.pow has it, by ln |x| and e^z in f64. */
export function pow(w: Body, x: V128, y: V128): V128 {
  const [base, power] = [w.let(x), w.let(y)];
  const size = w.let(f32x4.abs(base));
  const pair = (v: V128, lanes: readonly number[]) => f64x2.promoteLowF32x4(shuffle32(v, v, lanes));
  const [low, high] = [
    [0, 1, 0, 1],
    [2, 3, 2, 3],
  ].map((lanes) => f32x4.demoteF64x2Zero(powOfPairs(w, pair(size, lanes), pair(power, lanes))));
  const value = w.let(shuffle32(low, high, [0, 1, 4, 5]));
  const isWhole = (v: V128) => f32x4.eq(f32x4.nearest(v), v);
  const isOdd = v128.andnot(isWhole(power), isWhole(mul(power, splat(0.5))));
  const signed = v128.or(value, v128.and(v128.and(base, bits(0x80000000)), isOdd));
  const isBelow = v128.and(f32x4.lt(base, splat(0)), f32x4.gt(base, splat(-Infinity)));
  const real = v128.bitselect(splat(NaN), signed, v128.andnot(isBelow, isWhole(power)));
  return w.let(v128.bitselect(splat(1), real, f32x4.eq(power, splat(0))));
}

/** xʸ of f64x2 that are f32 numbers and x ≥ 0, to 2⁻³² or so. */
function powOfPairs(w: Body, size: V128, power: V128): V128 {
  const { add, sub, mul, div } = f64x2;
  const splat = (value: number) => f64x2.const(value);
  const x = w.let(size);
  // x = m·2ᵏ, √½ ≤ m < √2; k is read off as a number of 2⁵² and more.
  const offset = w.let(i64x2.sub(x, i64x2.splatConst(doubleBits(Math.SQRT1_2))));
  const biased = i64x2.shrU(i64x2.add(offset, i64x2.splatConst(1023n << 52n)), 52);
  const k = sub(v128.or(biased, splat(2 ** 52)), splat(2 ** 52 + 1023));
  const fraction = v128.and(offset, i64x2.splatConst((1n << 52n) - 1n));
  const m = w.let(i64x2.add(fraction, i64x2.splatConst(doubleBits(Math.SQRT1_2))));
  // ln m = 2s + s·z·P(z) with s = (m − 1) / (m + 1), z = s².
  const s = w.let(div(sub(m, splat(1)), add(m, splat(1))));
  const z = w.let(mul(s, s));
  const coefficients = [0.666666666763, 0.399999954427, 0.285721300564, 0.221752431558, 0.195987163224];
  const lnM = mul(s, add(splat(2), mul(z, wideSeries(z, coefficients))));
  const lnOfFinite = add(mul(k, splat(Math.LN2)), lnM);
  const lnOfLarge = v128.bitselect(lnOfFinite, x, f64x2.lt(x, splat(Infinity)));
  const ln = v128.bitselect(splat(-Infinity), lnOfLarge, f64x2.eq(x, splat(0)));
  const product = w.let(mul(ln, power));
  const bounded = w.let(f64x2.min(f64x2.max(product, splat(-120)), splat(100)));
  const shifted = w.let(add(mul(bounded, splat(Math.LOG2E)), splat(rounder.f64)));
  const n = sub(shifted, splat(rounder.f64));
  const r = w.let(sub(bounded, mul(n, splat(Math.LN2))));
  const e = wideSeries(
    r,
    [1, 1, 0.5, 0.166666669964, 0.0416662177619, 0.00833324855115, 0.00139486150119, 0.000199242158599],
  );
  const scaled = i64x2.add(e, i64x2.shl(shifted, 52));
  return w.let(v128.bitselect(scaled, product, f64x2.eq(product, product)));
}

const doubleBits = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0];
