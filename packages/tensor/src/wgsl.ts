import type { DType } from './shape.ts';

/** How a storage buffer is declared: one element, four at a time, or f16 in packed words. */
const scalarType: Record<DType, string> = { f32: 'f32', f16: 'u32', i32: 'i32', u32: 'u32' };
const vec4Type: Record<DType, string> = { f32: 'vec4f', f16: 'vec2u', i32: 'vec4i', u32: 'vec4u' };

export function storageType(dtype: DType, lanes: 1 | 4): string {
  return (lanes === 4 ? vec4Type : scalarType)[dtype];
}

/** Text that reads element `index` of a buffer declared with one lane, as f32 (or as i32/u32 itself). */
export function load(name: string, dtype: DType, index: string): string {
  if (dtype === 'f16') return `unpack2x16float(${name}[(${index}) >> 1u])[(${index}) & 1u]`;
  return `${name}[${index}]`;
}

/** Text that reads elements 4·index … 4·index+3 of a buffer declared with four lanes, as vec4f. */
export function load4(name: string, dtype: DType, index: string): string {
  const at = `${name}[${index}]`;
  if (dtype === 'f16') return `vec4f(unpack2x16float(${at}.x), unpack2x16float(${at}.y))`;
  return dtype === 'f32' ? at : `vec4f(${at})`;
}

export interface ShaderParts {
  /** `name: element type` of each input's array, in binding order; then the output's. */
  readonly inputs: readonly string[];
  readonly output: string;
  /** Fields of the immediates, `name: u32` or `name: f32`, read as `p.name`. */
  readonly params: readonly string[];
  readonly workgroup: number;
  readonly subgroups?: boolean;
  /** Declarations before `main`. */
  readonly declarations?: string;
  /** Statements of `main`; see them for what is in scope. */
  readonly body: string;
}

/**
 * A compute shader. In `body`: `id` (global_invocation_id), `group` (workgroup_id), `groups` (num_workgroups),
 * `lane` (local_invocation_index), `flat` (index of this invocation when the grid is `grid1d`) and `p`.
 */
export function shader(parts: ShaderParts): string {
  const { inputs, output, params, workgroup, subgroups, declarations = '', body } = parts;
  const array = (field: string, binding: number, access: string) => {
    const [name, type] = field.split(': ');
    return `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${type}>;`;
  };
  return `${subgroups ? 'enable subgroups;\n' : ''}requires immediate_address_space;
struct Params { ${params.join(', ')} }
var<immediate> p: Params;
${inputs.map((f, i) => array(f, i, 'read')).join('\n')}
${array(output, inputs.length, 'read_write')}
${declarations}
@compute @workgroup_size(${workgroup}) fn main(
  @builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32,
) {
  let flat = id.x + id.y * groups.x * ${workgroup}u;
${body}
}
`;
}

const maxGroups = 65535;

/** Workgroups for `n` invocations in one line, folded into a second dimension where one is too short. */
export function grid1d(n: number, workgroup: number): [number, number, number] {
  return gridRows(Math.ceil(n / workgroup));
}

/** One workgroup for each of `rows`; the shader's row is `group.x + group.y * groups.x`. */
export function gridRows(rows: number): [number, number, number] {
  const y = Math.ceil(rows / maxGroups);
  return [Math.ceil(rows / y), y, 1];
}

/** Bytes of a tensor's buffer: a multiple of 16, so that its tail can be read four elements at a time. */
export function paddedBytes(bytes: number): number {
  return Math.max(16, Math.ceil(bytes / 16) * 16);
}
