import type { WgslDevice } from './op.ts';
import type { Spec } from './shape.ts';
import { foldedGrid, storageType } from './wgsl.ts';

/** A number that a kernel gets at dispatch as f32; a plain number is u32. It never enters the text. */
export interface F32 {
  readonly f32: number;
}
export const f32 = (value: number): F32 => ({ f32: value });
export type Immediate = number | F32;

/** How a kernel declares a tensor: WGSL's type of an element of the array that it sees. */
export interface Binding {
  readonly type: string;
}

/** A tensor read or written `lanes` elements at a time; alone, a Spec is bound one at a time. */
export function wide(spec: Spec, lanes: 1 | 4 = 4): Binding {
  return { type: storageType(spec.dtype, lanes) };
}

/**
 * How many invocations there are, and what the text may count on besides `id`, `group`, `groups`, `lane`,
 * `p`.
 */
export type Grid =
  /** One invocation a cell, 64 a workgroup: `flat` is the cell. */
  | { readonly cells: number }
  /**
   * One workgroup a row: `row`, `LANES` and `reduceSum(value, lane)`, `reduceMax(value, lane)`, which every
   * lane of the row must reach.
   */
  | { readonly rows: number; readonly device: WgslDevice }
  /** As many workgroups as that, folded where one dimension is too short: `flat` is the invocation. */
  | { readonly groups: number; readonly workgroup: number };

export interface KernelRecord {
  /** Opens the text; kernels of one name and variant must have one text. */
  readonly name: string;
  /** Inputs in the op's order, by the names that the text has for them. */
  readonly in: Readonly<Record<string, Spec | Binding>>;
  readonly out: Readonly<Record<string, Spec | Binding>>;
  /** Sizes and scalars, read as `p.name`: at most 64 bytes with the grid's own. */
  readonly params?: Readonly<Record<string, Immediate>>;
  readonly grid: Grid;
  /** All that the text depends on besides the types of the tensors, the names of the params and the grid. */
  readonly variant?: readonly (string | number | boolean)[];
  readonly subgroups?: boolean;
  /** Declarations before `main`. */
  readonly declarations?: () => string;
  /** Statements of `main`. */
  readonly body: () => string;
}

/** One dispatch. Bindings, all in group 0: the inputs in order, then the outputs. */
export interface Kernel {
  readonly name: string;
  /** Equal keys mean equal texts. */
  readonly key: string;
  /** The shader's text. `donated` are inputs that lie in an output's memory, and that output's number. */
  text(donated?: ReadonlyMap<number, number>): string;
  readonly workgroups: readonly [number, number, number];
  readonly immediates: readonly Immediate[];
}

/**
 * A kernel from one record: fields and values of its params, names and types of its tensors. The text is
 * built when a backend sees the key for the first time, not at every dispatch.
 */
export function kernel(record: KernelRecord): Kernel {
  const { name, grid, params, variant } = record;
  // Runs at every dispatch, so it makes nothing but the key and the immediates.
  const immediates: Immediate[] = 'rows' in grid ? [grid.rows] : 'cells' in grid ? [grid.cells] : [];
  let key = name;
  for (const input in record.in) key += ` ${typeOf(record.in[input])}`;
  for (const output in record.out) key += ` ${typeOf(record.out[output])}`;
  key += ' ';
  for (const field in params) {
    const value = params[field];
    immediates.push(value);
    key += typeof value === 'number' ? 'u' : 'f';
  }
  key += gridKey(grid);
  if (variant) for (const part of variant) key += ` ${part}`;
  return {
    name,
    key,
    text: (donated) => textOf(record, donated),
    workgroups: workgroupsOf(grid),
    immediates,
  };
}

const typeOf = (binding: Spec | Binding): string =>
  'type' in binding ? binding.type : storageType(binding.dtype, 1);

/** Lanes that share a row: a whole subgroup where its size is known, which needs no barrier; else 64. */
const lanesOf = (device: WgslDevice): number => device.subgroupSize || 64;

function workgroupSize(grid: Grid): number {
  if ('rows' in grid) return lanesOf(grid.device);
  return 'groups' in grid ? grid.workgroup : 64;
}

function gridParams(grid: Grid): Record<string, Immediate> {
  if ('rows' in grid) return { rows: grid.rows };
  return 'cells' in grid ? { cells: grid.cells } : {};
}

const gridKey = (grid: Grid): string =>
  'rows' in grid
    ? `rows ${grid.device.subgroupSize}`
    : 'groups' in grid
      ? `groups ${grid.workgroup}`
      : 'cells';

function workgroupsOf(grid: Grid): [number, number, number] {
  if ('rows' in grid) return foldedGrid(grid.rows);
  return foldedGrid('groups' in grid ? grid.groups : Math.ceil(grid.cells / 64));
}

function textOf(record: KernelRecord, donated: ReadonlyMap<number, number> = new Map()): string {
  const { grid, params = {}, declarations, body } = record;
  const workgroup = workgroupSize(grid);
  const outputs = Object.keys(record.out);
  const inputs = Object.entries(record.in).filter((_, i) => !donated.has(i));
  const fields = Object.entries({ ...gridParams(grid), ...params }).map(
    ([name, value]) => `${name}: ${typeof value === 'number' ? 'u32' : 'f32'}`,
  );
  const array = ([name, binding]: [string, Spec | Binding], i: number) =>
    `@group(0) @binding(${i}) var<storage, ${i < inputs.length ? 'read' : 'read_write'}> ` +
    `${name}: array<${typeOf(binding)}>;`;
  const usesSubgroups = record.subgroups || ('rows' in grid && grid.device.subgroupSize > 0);
  const main = `${'rows' in grid ? rowDeclarations(grid.device) : ''}${declarations?.() ?? ''}
@compute @workgroup_size(${workgroup}) fn main(
  @builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32,
) {
${entry(grid, workgroup)}
${body()}
}
`;
  const head = `// ${record.name}
${usesSubgroups ? 'enable subgroups;\n' : ''}requires immediate_address_space;
struct Params { ${fields.join(', ')} }
var<immediate> p: Params;
${[...inputs, ...Object.entries(record.out)].map(array).join('\n')}
`;
  // An input in an output's memory is read under the output's name.
  const renamed = [...donated].reduce(
    (text, [input, output]) =>
      text.replaceAll(new RegExp(`\\b${Object.keys(record.in)[input]}\\b`, 'g'), outputs[output]),
    main,
  );
  return head + renamed;
}

function entry(grid: Grid, workgroup: number): string {
  if ('rows' in grid) return '  let row = group.x + group.y * groups.x;\n  if (row >= p.rows) { return; }';
  const flat = `  let flat = id.x + id.y * groups.x * ${workgroup}u;`;
  return 'cells' in grid ? `${flat}\n  if (flat >= p.cells) { return; }` : flat;
}

function rowDeclarations(device: WgslDevice): string {
  const lanes = lanesOf(device);
  return `const LANES = ${lanes}u;
${device.subgroupSize > 0 ? subgroupReduce : treeReduce(lanes)}
`;
}

const subgroupReduce = `fn reduceSum(value: f32, lane: u32) -> f32 { return subgroupAdd(value); }
fn reduceMax(value: f32, lane: u32) -> f32 { return subgroupMax(value); }`;

const treeReduce = (lanes: number) => `var<workgroup> scratch: array<f32, ${lanes}>;
${[
  ['reduceSum', 'scratch[lane] + scratch[lane + step]'],
  ['reduceMax', 'max(scratch[lane], scratch[lane + step])'],
]
  .map(
    ([name, combine]) => `fn ${name}(value: f32, lane: u32) -> f32 {
  scratch[lane] = value;
  workgroupBarrier();
  for (var step = ${lanes / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) { scratch[lane] = ${combine}; }
    workgroupBarrier();
  }
  let result = scratch[0];
  workgroupBarrier();
  return result;
}`,
  )
  .join('\n')}`;
