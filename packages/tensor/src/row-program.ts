import type { WgslDevice } from './op.ts';
import { gridRows, shader } from './wgsl.ts';

interface RowProgram {
  readonly name: string;
  /** `name: element type`, in binding order. */
  readonly inputs: readonly string[];
  /** The same of the output; left out, `out: f32`. */
  readonly output?: string;
  /** Fields of `p` after `rows`. */
  readonly params: readonly string[];
  readonly declarations?: string;
  /** Statements: `row`, `lane`, `LANES`, `p`, `reduceSum(value, lane)`, `reduceMax(value, lane)` are in scope. */
  readonly body: string;
}

/** Lanes that share a row: a whole subgroup where its size is known, which needs no barrier; else 64. */
function lanesOf(device: WgslDevice): number {
  return device.subgroupSize || 64;
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

/** A shader in which one workgroup walks one row of the output. Its first immediate is the number of rows. */
export function rowShader(device: WgslDevice, program: RowProgram): string {
  const lanes = lanesOf(device);
  return `// ${program.name}\n${shader({
    inputs: program.inputs,
    output: program.output ?? 'out: f32',
    params: ['rows: u32', ...program.params],
    workgroup: lanes,
    subgroups: device.subgroupSize > 0,
    declarations: `const LANES = ${lanes}u;
${device.subgroupSize > 0 ? subgroupReduce : treeReduce(lanes)}
${program.declarations ?? ''}`,
    body: `  let row = group.x + group.y * groups.x;
  if (row >= p.rows) { return; }
${program.body}`,
  })}`;
}

/** One workgroup a row. */
export const rowWorkgroups = gridRows;
