import type { Body } from './body.ts';
import { f32x4, type I32, i32x4, type V128, v128 } from './values.ts';

/** Four f16 at an address as f32x4, exactly. */
export const loadF16 = (address: I32, offset = 0): V128 => rescaled(loadShifted(address, offset));

/** Four f16, each in the low half of its lane, as f32x4, exactly. `bits` must have a name. */
export const widened = (bits: V128): V128 => rescaled(i32x4.shrS(i32x4.shl(bits, 16), 3));

/** Four f16 at an address, their exponents and fractions where those of f32 are, their signs copied above. */
export const loadShifted = (address: I32, offset = 0): V128 => i32x4.shl(v128.load16x4S(address, offset), 13);

/**
 * What `loadShifted` gave as f32x4: without the copies it is 2⁻¹¹² of the number, subnormal ones among them;
 * infinities and NaN get all ones for an exponent. `bits` must have a name.
 */
export function rescaled(bits: V128): V128 {
  const exponent = i32x4.const(0x0f800000);
  const number = f32x4.mul(v128.and(bits, i32x4.const(0x8fffe000)), f32x4.const(2 ** 112));
  const special = i32x4.eq(v128.and(bits, exponent), exponent);
  return v128.or(number, v128.and(special, i32x4.const(0x7f800000)));
}

/**
 * The f16 nearest to each of four f32, ties to even, in the low halves of the lanes: from 65,520 on infinite,
 * and a NaN stays one. `x` must have a name.
 */
export function halved(w: Body, x: V128): V128 {
  const magnitude = w.let(v128.and(x, i32x4.const(0x7fffffff)));
  const odd = v128.and(i32x4.shrU(magnitude, 13), i32x4.const(1));
  const rounded = i32x4.add(i32x4.add(magnitude, i32x4.const(0xfff - 0x38000000)), odd);
  // A subnormal f16 counts units of 2⁻²⁴, as the last place of a number in [½, 1) does.
  const units = i32x4.sub(f32x4.add(magnitude, f32x4.const(0.5)), f32x4.const(0.5));
  const isSmall = i32x4.ltS(magnitude, i32x4.const(0x38800000));
  const finite = v128.bitselect(units, i32x4.shrU(rounded, 13), isSmall);
  const special = v128.bitselect(i32x4.const(0x7e00), i32x4.const(0x7c00), f32x4.ne(x, x));
  const isLarge = i32x4.gtS(magnitude, i32x4.const(0x477fffff));
  const sign = v128.and(i32x4.shrU(x, 16), i32x4.const(0x8000));
  return v128.or(v128.bitselect(special, finite, isLarge), sign);
}
