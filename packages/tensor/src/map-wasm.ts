import { type Expr, operand } from './expr.ts';
import { costOf, hasWebAssembly, Writer, webAssembly } from './expr-writer.ts';
import { keepByKey } from './keep-by-key.ts';
import { f32, type Immediate } from './kernel-record.ts';
import { type Access, accessOf, expandFirst, type MapProgram, type Numbers } from './map-program.ts';
import { type Spec, size } from './shape.ts';
import {
  element,
  f32x4,
  type I32,
  i32,
  i32x4,
  type KernelBody,
  type Local,
  shuffle32,
  type V128,
  v128,
  type WasmKernel,
  wasmKernel,
  widened,
} from './wasm/index.ts';

/**
 * A map for the CPU engine, whose items are four elements each; undefined where a function of its
 * expressions has no instructions. Of each way to store and read the operands one kernel is made and kept.
 */
export function mapWasm(
  program: MapProgram,
  inputs: readonly Spec[],
  output: Spec,
  numbers: Numbers,
): WasmKernel | undefined {
  const immediates: Immediate[] = [];
  let way = '';
  let next = 0;
  for (const number of numbers) {
    if (number === null) {
      const input = inputs[next++];
      const { kind, n } = accessOf(input.shape, output.shape) ?? expandFirst(program.name, input, output);
      if (hasRuns(kind)) immediates.push(n);
      way += `${input.dtype} ${kind} `;
    } else way += 'number ';
  }
  for (const number of numbers) if (number !== null) immediates.push(f32(number));
  const made = kernels(program, way, () =>
    hasWebAssembly(program.values) ? newKernel(program, inputs, output, numbers) : null,
  );
  return made ? { ...made, items: Math.ceil(size(output.shape) / 4), immediates } : undefined;
}

const kernels = keepByKey<MapProgram, string, WasmKernel | null>();

/** Whether it is read in runs of n, which an empty output has too, n being 0. */
const hasRuns = (kind: Access['kind']) => kind === 'suffix' || kind === 'prefix';

function newKernel({ name, values }: MapProgram, inputs: readonly Spec[], output: Spec, numbers: Numbers) {
  const tensors = numbers.flatMap((number, place) => (number === null ? [place] : []));
  const scalars = numbers.flatMap((number, place) => (number === null ? [] : [place]));
  const accesses = inputs.map(({ shape }) => accessOf(shape, output.shape)!);
  // Sizes and numbers are those of a call.
  const params: Record<string, Immediate> = {};
  accesses.forEach(({ kind }, i) => {
    if (hasRuns(kind)) params[`n${tensors[i]}`] = 0;
  });
  for (const place of scalars) params[`x${place}`] = f32(0);
  return wasmKernel({
    name,
    in: Object.fromEntries(inputs.map((spec, i) => [`x${tensors[i]}`, spec])),
    out: Object.fromEntries(values.map((_, k) => [`out${k}`, output])),
    params,
    items: 0,
    cost: 0.2 * inputs.length + costOf(values),
    variant: [
      numbers.map((number) => (number === null ? 't' : 'n')).join(''),
      ...accesses.map((a) => a.kind),
    ],
    body(w, names) {
      const variables = names as Readonly<Record<string, Local<'i32'>>>;
      const ofAll = new Map(
        scalars.map((place): [Expr, V128] => [operand(place), w.let(f32x4.splat(names[`x${place}`]))]),
      );
      const reads = inputs.map(({ dtype }, i) =>
        reader(
          w,
          variables[`x${tensors[i]}`],
          dtype === 'f16',
          accesses[i].kind,
          variables[`n${tensors[i]}`],
        ),
      );
      w.range(w.from, w.to, 1, (i) => {
        const writer = new Writer(webAssembly(w), ofAll);
        reads.forEach((read, k) => void writer.names.set(operand(tensors[k]), w.let(read(i))));
        // All has been computed before anything is stored: a result may lie in the memory of an operand.
        const results = writer.write(values);
        results.forEach((result, k) => void w.store(element(variables[`out${k}`], i32.shl(i, 2)), result));
      });
    },
  });
}

/** What gives an operand's elements for the four of item i, if it is asked at every item in order. */
function reader(w: KernelBody, array: I32, isHalf: boolean, kind: Access['kind'], n: I32): (i: I32) => V128 {
  const address = (index: I32) => i32.add(array, i32.shl(index, isHalf ? 1 : 2));
  const wide = (value: V128) => (isHalf ? widened(w.let(value)) : value);
  const four = (index: I32) => wide(isHalf ? v128.load16x4U(address(index)) : v128.load(address(index)));
  const one = (index: I32) =>
    wide(isHalf ? i32x4.splat(i32.load16U(address(index))) : v128.load32Splat(address(index)));
  if (kind === 'same') return (i) => four(i32.shl(i, 2));
  if (kind === 'only') {
    const value = w.let(one(i32.const(0)));
    return () => value;
  }
  // Counters in place of divisions: which run of n elements the next one is in, and where there.
  const start = w.let(i32.shl(w.from, 2));
  const [run, place] = [w.let(i32.divU(start, n)), w.let(i32.remU(start, n))];
  const advance = (by: number) => {
    w.set(place, i32.add(place, by));
    const isOver = w.let(i32.eq(place, n));
    w.set(run, i32.add(run, isOver));
    w.set(place, i32.select(0, place, isOver));
  };
  const index = kind === 'suffix' ? place : run;
  const value = w.local('v128');
  const inOneRun = () => {
    w.set(value, kind === 'suffix' ? four(index) : one(index));
    advance(4);
  };
  const acrossRuns = () => {
    for (let lane = 0; lane < 4; lane++) {
      const lanes = [0, 1, 2, 3].map((k) => (k < lane ? k : 4 + k));
      w.set(value, shuffle32(value, w.let(one(index)), lanes));
      advance(1);
    }
  };
  return () => {
    w.if(i32.leU(i32.add(place, 4), n), inOneRun, acrossRuns);
    return value;
  };
}
