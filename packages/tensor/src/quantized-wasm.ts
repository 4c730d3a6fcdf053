import { nf4Values } from './quantized.ts';
import { nf4Block, nf4Group, scaleValues } from './quantized-layout.ts';
import type { Spec } from './shape.ts';
import type { Body, Local } from './wasm/body.ts';
import { f32, f32x4, type I32, i8x16, i16x8, i32, i32x4, type V128, v128 } from './wasm/values.ts';

/** What a kernel knows of an input: its address, and what `scaleParams` says of it, all in words. */
export interface QuantizedInput {
  readonly base: I32;
  readonly scales: I32;
  /** Of nf4. */
  readonly groups?: I32;
  /** Of int8. */
  readonly columns?: I32;
}

/** The parts of the input that a kernel calls `name`, from its variables of `scaleParams`. */
export const scalesOf = (
  name: string,
  base: I32,
  variables: Readonly<Record<string, I32>>,
): QuantizedInput => ({
  base,
  scales: variables[`${name}Scales`],
  groups: variables[`${name}Groups`],
  columns: variables[`${name}Columns`],
});

/** Reads four elements from the address of their codes on, f32x4; they lie in one row, and in one block. */
export type LoadFour = (w: Body, address: I32) => Local<'v128'>;

/** The reading of an input that is quantized. The addresses of its parts are computed once. */
export function quantizedFours(w: Body, { dtype }: Spec, input: QuantizedInput): LoadFour {
  const base = w.let(input.base);
  const scales = w.let(i32.add(base, i32.shl(input.scales, 2)));
  if (dtype === 'int8') {
    return (w, address) => {
      const row = i32.divU(i32.sub(address, base), input.columns!);
      const scale = v128.load32Splat(i32.add(scales, i32.shl(row, 2)));
      const codes = i32x4.extendLowI16x8S(i16x8.extendLowI8x16S(v128.load32Zero(address)));
      return w.let(f32x4.mul(f32x4.convertI32x4S(codes), scale));
    };
  }
  const groups = w.let(i32.add(base, i32.shl(input.groups!, 2)));
  const mean = w.let(f32.load(scales, 4 * scaleValues));
  return (w, address) => {
    const block = w.let(i32.divU(i32.sub(address, base), nf4Block / 2));
    const code = i32.load8U(i32.add(scales, block), 4 * (scaleValues + 1));
    const value = f32.load(i32.add(scales, i32.shl(code, 2)));
    const group = f32.load(i32.add(groups, i32.shl(i32.divU(block, nf4Group), 2)));
    const scale = f32.add(f32.mul(value, group), mean);
    // Each lane has both bytes; the product has its four bits where 12 … 15 are.
    const lanes = i32x4.mul(v128.load16Splat(address), i32x4.const(1 << 8, 1 << 12, 1, 1 << 4));
    const codes = w.let(v128.and(i32x4.shrU(lanes, 12), i32x4.const(15)));
    return w.let(f32x4.mul(nf4Of(w, codes), f32x4.splat(scale)));
  };
}

/** The values of four codes, one a lane: byte by byte from tables of 16. */
function nf4Of(w: Body, codes: V128): V128 {
  const bytes = new Uint8Array(nf4Values.buffer);
  const everywhere = w.let(i32x4.mul(codes, i32x4.const(0x01010101)));
  const planes = [0, 1, 2, 3].map((plane) => {
    const table = v128.const([...nf4Values].map((_, code) => bytes[4 * code + plane]));
    // Any code above 15 gives 0.
    const others = i32x4.const(~(0xff << (8 * plane)));
    return i8x16.swizzle(table, v128.or(everywhere, others));
  });
  return planes.reduce((all, plane) => v128.or(all, plane));
}
