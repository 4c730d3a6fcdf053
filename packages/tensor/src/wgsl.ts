import type { DType } from './shape.ts';

/** How a storage buffer is declared: one element, four at a time, or f16, int8 and nf4 in packed words. */
const words = { int8: 'u32', nf4: 'u32' };
const scalarType: Record<DType, string> = { f32: 'f32', f16: 'u32', i32: 'i32', u32: 'u32', ...words };
const vec4Type: Record<DType, string> = { f32: 'vec4f', f16: 'vec2u', i32: 'vec4i', u32: 'vec4u', ...words };

export function storageType(dtype: DType, lanes: 1 | 4): string {
  return (lanes === 4 ? vec4Type : scalarType)[dtype];
}

/**
 * Text that reads element `index` of a buffer declared with one lane, as f32 (or as i32/u32 itself). That of int8
 * and nf4 calls what `scaleWgsl` declares.
 */
export function load(name: string, dtype: DType, index: string): string {
  if (dtype === 'int8' || dtype === 'nf4') return `${name}Value(${index})`;
  if (dtype === 'f16') return `unpack2x16float(${name}[(${index}) >> 1u])[(${index}) & 1u]`;
  return `${name}[${index}]`;
}

/** Text that reads elements 4·index … 4·index+3 of a buffer declared with four lanes, as vec4f. */
export function load4(name: string, dtype: DType, index: string): string {
  if (dtype === 'int8' || dtype === 'nf4') {
    return `${name}Four(4u * (${index})) * ${name}Scale(4u * (${index}))`;
  }
  const at = `${name}[${index}]`;
  if (dtype === 'f16') return `vec4f(unpack2x16float(${at}.x), unpack2x16float(${at}.y))`;
  return dtype === 'f32' ? at : `vec4f(${at})`;
}

const maxGroups = 65535;

/** `count` workgroups, folded into a second dimension where one is too short. */
export function foldedGrid(count: number): [number, number, number] {
  const y = Math.ceil(count / maxGroups);
  return [Math.ceil(count / y), y, 1];
}
