import { f32x4, type I32, i32x4, type V128, v128 } from './values.ts';

/**
 * Four f16 at an address as f32x4, exactly: bits moved into place make 2⁻¹¹² of the number, subnormal ones
 * among them; infinities and NaN keep all ones for an exponent.
 */
export function loadF16(address: I32, offset = 0): V128 {
  return widened(v128.load16x4U(address, offset));
}

/** Four f16, each in the low half of its lane, as f32x4. `bits` is used three times: give it a name first. */
export function widened(bits: V128): V128 {
  const magnitude = v128.and(bits, i32x4.const(0x7fff));
  const number = f32x4.mul(i32x4.shl(magnitude, 13), f32x4.const(2 ** 112));
  const special = v128.and(i32x4.gtS(magnitude, i32x4.const(0x7bff)), i32x4.const(0x7f800000));
  const sign = i32x4.shl(v128.and(bits, i32x4.const(0x8000)), 16);
  return v128.or(v128.or(number, special), sign);
}
