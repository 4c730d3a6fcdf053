import { type Expr, operand } from './expr.ts';
import { javaScript, Writer, wgslOf } from './expr-writer.ts';
import { hostFunction } from './host-function.ts';
import { keepByKey } from './keep-by-key.ts';
import { f32, type Immediate, type Kernel, kernel, wide } from './kernel-record.ts';
import type { HostKernel } from './op.ts';
import { type Shape, type Spec, sameShape, showAll, size } from './shape.ts';
import { foldedGrid, load, load4 } from './wgsl.ts';

/** Expressions in `operand(0)`, …, computed for every element by itself; from them come a kernel and a loop. */
export interface MapProgram {
  readonly name: string;
  readonly values: readonly Expr[];
}

/** The operands of one call: a number, or null for the next of the tensors. */
export type Numbers = readonly (number | null)[];

/**
 * How an input's element follows from the output's index j: the same one; the only one; j mod n (the input is
 * a suffix of the output, as a bias is); or j div n (one value for each n neighbours, as a row's norm is).
 */
export interface Access {
  readonly kind: 'same' | 'only' | 'suffix' | 'prefix';
  readonly n: number;
}

const same: Access = { kind: 'same', n: 0 };
const only: Access = { kind: 'only', n: 0 };

/** How an input of this shape is read for an output of that one; null where none of the four ways does. */
export function accessOf(shape: Shape, output: Shape): Access | null {
  if (sameShape(shape, output)) return size(shape) === 1 ? only : same;
  if (size(shape) === 1) return only;
  if (size(shape) === size(output)) return same;
  const lead = output.length - shape.length;
  const padded = output.map((_, i) => (i < lead ? 1 : shape[i - lead]));
  const first = padded.findIndex((n) => n !== 1);
  if (sameShape(padded.slice(first), output.slice(first))) return { kind: 'suffix', n: size(shape) };
  const last = padded.findLastIndex((n) => n !== 1);
  if (sameShape(padded.slice(0, last + 1), output.slice(0, last + 1)))
    return { kind: 'prefix', n: size(output) / size(shape) };
  return null;
}

/** A tensor of a call and which operand it is. */
interface Source {
  readonly spec: Spec;
  readonly access: Access;
  readonly place: number;
}

export function expandFirst(name: string, input: Spec, output: Spec): never {
  throw new Error(`${name}: expand ${showAll([input, output])} first`);
}

function sourcesOf(name: string, inputs: readonly Spec[], output: Spec, numbers: Numbers): Source[] {
  const places = numbers.flatMap((number, place) => (number === null ? [place] : []));
  return inputs.map((spec, i) => {
    const access = accessOf(spec.shape, output.shape) ?? expandFirst(name, spec, output);
    return { spec, access, place: places[i] };
  });
}

/** The texts of the leaves: `x0`, `x1`, … */
const leafNames = (places: number): Map<Expr, string> =>
  new Map(Array.from({ length: places }, (_, place) => [operand(place), `x${place}`]));

const numberPlaces = (numbers: Numbers): number[] =>
  numbers.flatMap((number, place) => (number === null ? [] : [place]));

/** A kernel: four elements an invocation. Of each way to store and read the operands one is made and kept. */
export function mapKernel(
  program: MapProgram,
  inputs: readonly Spec[],
  output: Spec,
  numbers: Numbers,
): Kernel {
  const cells = Math.ceil(size(output.shape) / 4);
  const immediates: Immediate[] = [cells];
  let way = '';
  let next = 0;
  for (const number of numbers) {
    if (number === null) {
      const input = inputs[next++];
      const { kind, n } = accessOf(input.shape, output.shape) ?? expandFirst(program.name, input, output);
      if (n > 0) immediates.push(n);
      way += `${input.dtype} ${kind} ${n % 4 === 0} `;
    } else way += 'number ';
  }
  for (const number of numbers) if (number !== null) immediates.push(f32(number));
  const made = kernels(program, way, () => newKernel(program, inputs, output, numbers));
  return { ...made, immediates, workgroups: foldedGrid(Math.ceil(cells / 64)) };
}

const kernels = keepByKey<MapProgram, string, Kernel>();

function newKernel(
  { name, values }: MapProgram,
  inputs: readonly Spec[],
  output: Spec,
  numbers: Numbers,
): Kernel {
  const sources = sourcesOf(name, inputs, output, numbers);
  // Where four neighbours are read, or one is for all four.
  const kinds = sources.map(({ access: { kind, n } }) => (n % 4 === 0 ? `${kind} fours` : kind));
  const isWide = (i: number) => kinds[i] === 'same fours' || kinds[i] === 'suffix fours';
  const params: Record<string, Immediate> = {};
  for (const { place, access } of sources) if (access.n > 0) params[`n${place}`] = access.n;
  for (const place of numberPlaces(numbers)) params[`x${place}`] = f32(numbers[place]!);
  const read = ({ spec: { dtype }, place, access: { kind } }: Source, i: number): string => {
    const [from, n] = [`x${place}s`, `p.n${place}`];
    if (kind === 'same') return load4(from, dtype, 'flat');
    if (kind === 'only') return `vec4f(${load(from, dtype, '0u')})`;
    if (kinds[i] === 'suffix fours') return load4(from, dtype, `flat % (${n} / 4u)`);
    if (kinds[i] === 'prefix fours') return `vec4f(${load(from, dtype, `flat / (${n} / 4u)`)})`;
    const at = (c: number) => load(from, dtype, `(4u * flat + ${c}u) ${kind === 'suffix' ? '%' : '/'} ${n}`);
    return `vec4f(${[0, 1, 2, 3].map(at).join(', ')})`;
  };
  return kernel({
    name,
    in: Object.fromEntries(
      sources.map(({ spec, place }, i) => [`x${place}s`, wide(spec, isWide(i) ? 4 : 1)]),
    ),
    out: Object.fromEntries(values.map((_, k) => [`out${k}`, wide(output)])),
    params,
    grid: { cells: Math.ceil(size(output.shape) / 4) },
    variant: [numbers.map((number) => (number === null ? 't' : 'n')).join(''), ...kinds],
    body() {
      const lines: string[] = [];
      const writer = new Writer(wgslOf('vec4f', lines), leafNames(numbers.length));
      const results = writer.write(values);
      return [
        ...sources.map((source, i) => `let x${source.place} = ${read(source, i)};`),
        ...numberPlaces(numbers).map((place) => `let x${place} = vec4f(p.x${place});`),
        ...lines,
        ...results.map((result, k) => `out${k}[flat] = ${result};`),
      ]
        .map((line) => `  ${line}`)
        .join('\n');
    },
  });
}

/** The same on the host: a gpu.js text of one value, or a loop over all elements where there are several. */
export function mapOnHost(
  program: MapProgram,
  inputs: readonly Spec[],
  output: Spec,
  numbers: Numbers,
): HostKernel {
  const sources = sourcesOf(program.name, inputs, output, numbers);
  const key = sources.map(({ place, access }) => `${place} ${access.kind}`).join();
  const code = hostTexts(program, key, () => hostText(program.values, sources, numbers));
  const args = [...sources.map(({ access }) => access.n), ...numbers.filter((n) => n !== null)];
  if (program.values.length === 1) return { code, threads: [size(output.shape)], args };
  const loop = hostFunction(code);
  return (arrays, outputs) => void loop(arrays, outputs, args);
}

const hostTexts = keepByKey<MapProgram, string, string>();

function hostText(values: readonly Expr[], sources: readonly Source[], numbers: Numbers): string {
  const lines: string[] = [];
  const writer = new Writer(javaScript(lines), leafNames(numbers.length));
  const results = writer.write(values);
  const index = {
    same: () => 'i',
    only: () => '0',
    suffix: (n: string) => `i % ${n}`,
    prefix: (n: string) => `Math.floor(i / ${n})`,
  };
  const arrays = sources.map(({ place }) => `x${place}s`);
  const args = [
    ...sources.map(({ place }) => `n${place}`),
    ...numberPlaces(numbers).map((place) => `x${place}`),
  ];
  const reads = sources.map(
    ({ place, access }) => `const x${place} = x${place}s[${index[access.kind](`n${place}`)}];`,
  );
  if (values.length === 1) {
    return `function (${[...arrays, ...args].join(', ')}) {
  const i = this.thread.x;
  ${[...reads, ...lines].join('\n  ')}
  return ${results[0]};
}`;
  }
  const outs = results.map((_, k) => `out${k}`);
  return `function ([${arrays.join(', ')}], [${outs.join(', ')}], [${args.join(', ')}]) {
  for (let i = 0; i < out0.length; i++) {
    ${[...reads, ...lines, ...results.map((result, k) => `out${k}[i] = ${result};`)].join('\n    ')}
  }
}`;
}
