import { DTypeError } from './errors.ts';
import {
  asExpr,
  derivative,
  Expr,
  javaScript,
  nodesOf,
  operand,
  substitute,
  Writer,
  wgslOf,
} from './expr.ts';
import { hostFunction } from './host-function.ts';
import { type F32, f32, type Kernel, kernel, wide } from './kernel-record.ts';
import {
  type Domain,
  defineOp,
  type HostLoop,
  type KernelOp,
  type Known,
  type Sample,
  type Vjp,
} from './op.ts';
import { reshape } from './ops/reshape.ts';
import { broadcastTo, sumTo } from './ops/sum.ts';
import { broadcastShapes, type Shape, type Spec, sameShape, showAll, size } from './shape.ts';
import { applyAll, Donated, type Tensor } from './tensor.ts';
import { load, load4 } from './wgsl.ts';

/** What an elementwise op takes: a tensor of f32 or f16, or one number for all elements. */
export type Operand = Tensor | Donated | number;

/** The operands of one call: a number, or null for the next of the tensors. */
export interface ElementwiseAttrs {
  readonly numbers: readonly (number | null)[];
}

export interface ElementwiseOptions {
  /** What the tests give to the last operands where these are numbers by nature, such as a learning rate. */
  readonly numbers?: readonly number[];
  /** How the elements of each operand are drawn in the tests. */
  readonly domains?: readonly (Domain | undefined)[];
  /** Operands, a list being a tensor, and the result. */
  readonly known?: readonly (readonly [
    operands: readonly (number | readonly number[])[],
    result: readonly number[],
  ])[];
  readonly tolerance?: number;
}

/** An op of one result: on tensors it runs, on expressions it composes. */
export interface Elementwise<A extends readonly Expr[]> {
  (...operands: { [I in keyof A]: Expr | number }): Expr;
  (...operands: { [I in keyof A]: Operand }): Tensor;
}

/**
 * An op that computes each element from those at the same place, written as one expression: f32 (or f16,
 * widened) [..], … → f32 [broadcast]. Operands broadcast as in NumPy, and any of them may be a number, which
 * never enters a kernel's text. Its gradients of every order are derived.
 *
 *     const softplus = elementwise('softplus', (x) => log(add(1, exp(x))));
 */
export function elementwise<A extends Expr[]>(
  name: string,
  value: (...operands: A) => Expr,
  options: ElementwiseOptions = {},
): Elementwise<A> {
  const { length: arity } = value;
  const run = defineMap(name, arity, (...operands) => [value(...(operands as A))], options);
  const both = (...operands: readonly (Operand | Expr)[]): Tensor | Expr =>
    operands.some((x) => x instanceof Expr)
      ? value(...(operands.slice(0, arity).map((x) => asExpr(x as Expr | number)) as A))
      : run(operands as readonly Operand[])[0];
  return both as Elementwise<A>;
}

/**
 * The same with several results, in one kernel that reads each operand once. `arity` is the number of
 * operands.
 */
export function elementwiseAll(
  name: string,
  arity: number,
  values: (...operands: Expr[]) => readonly Expr[],
  options: ElementwiseOptions = {},
): (...operands: readonly Operand[]) => Tensor[] {
  const run = defineMap(name, arity, values, options);
  return (...operands) => run(operands);
}

/** Defines the op in the table, and gives the function that runs it. */
function defineMap(
  name: string,
  arity: number,
  values: (...operands: Expr[]) => readonly Expr[],
  options: ElementwiseOptions,
): (operands: readonly Operand[]) => Tensor[] {
  const operands = Array.from({ length: arity }, (_, k) => operand(k));
  const op = defineOp(mapOp(name, arity, values(...operands), options));
  return (given) => runMap(op, given.slice(0, arity));
}

function runMap(op: KernelOp<ElementwiseAttrs>, operands: readonly Operand[]): Tensor[] {
  const given = operands.filter((x) => typeof x !== 'number');
  if (given.length === 0)
    throw new DTypeError(`${op.name}: needs a tensor among its operands, got numbers alone`);
  const numbers = operands.map((x) => (typeof x === 'number' ? x : null));
  const shape = broadcastShapes(op.name, given.map(tensorOf));
  const ready = given.map((x) => (accessOf(tensorOf(x).shape, shape) ? x : broadcastTo(tensorOf(x), shape)));
  return applyAll(op, ready, { numbers });
}

const tensorOf = (x: Tensor | Donated): Tensor => (x instanceof Donated ? x.tensor : x);

/**
 * How an input's element follows from the output's index j: the same one; the only one; j mod n (the input is
 * a suffix of the output, as a bias is); or j div n (one value for each n neighbours, as a row's norm is).
 */
interface Access {
  readonly kind: 'same' | 'only' | 'suffix' | 'prefix';
  readonly n: number;
}

/** How an input of this shape is read for an output of that one; null where none of the four ways does. */
function accessOf(shape: Shape, output: Shape): Access | null {
  if (size(shape) === 1) return { kind: 'only', n: 0 };
  if (size(shape) === size(output)) return { kind: 'same', n: 0 };
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

function sourcesOf(
  name: string,
  inputs: readonly Spec[],
  { shape }: Spec,
  numbers: ElementwiseAttrs['numbers'],
): Source[] {
  const places = numbers.flatMap((number, place) => (number === null ? [place] : []));
  return inputs.map((spec, i) => {
    const access = accessOf(spec.shape, shape);
    if (!access) throw new Error(`${name}: expand ${showAll([spec, { shape, dtype: 'f32' }])} first`);
    return { spec, access, place: places[i] };
  });
}

/** An elementwise op of expressions in `operand(0)`, `operand(1)`, …, not yet in the table. */
function mapOp(
  name: string,
  arity: number,
  values: readonly Expr[],
  options: ElementwiseOptions = {},
): KernelOp<ElementwiseAttrs> {
  const hostLoops = new Map<string, string>();
  return {
    kind: 'kernel',
    name,
    infer(inputs, { numbers }) {
      const tensors = numbers.filter((number) => number === null).length;
      if (inputs.length !== tensors || inputs.some((t) => t.dtype !== 'f32' && t.dtype !== 'f16')) {
        throw new DTypeError(`${name}: needs ${tensors} inputs of f32 or f16, got ${showAll(inputs)}`);
      }
      const output: Spec = { shape: broadcastShapes(name, inputs), dtype: 'f32' };
      return values.map(() => output);
    },
    wgsl: (inputs, [output], { numbers }) =>
      mapKernel(name, values, sourcesOf(name, inputs, output, numbers), output, numbers),
    host(inputs, [output], { numbers }) {
      const sources = sourcesOf(name, inputs, output, numbers);
      const key = sources.map(({ place, access }) => `${place} ${access.kind}`).join();
      const code = hostLoops.get(key) ?? hostText(values, sources, numbers);
      hostLoops.set(key, code);
      const args = [...sources.map(({ access }) => access.n), ...numbers.filter((n) => n !== null)];
      return values.length === 1 ? { code, threads: [size(output.shape)], args } : loopOf(code, args);
    },
    // Every element is read before the same one is written, so any input of the output's size will do.
    donates: (inputs, outputs) =>
      outputs.map((output) => inputs.flatMap((input, i) => (isTwin(input, output) ? [i] : []))),
    vjp: derivedVjp(name, arity, values),
    samples: samplesOf(arity, options),
    known: options.known?.map(([operands, output]) => knownOf(operands, output)),
    domains: options.domains,
    tolerance: options.tolerance,
  };
}

const isTwin = (input: Spec, output: Spec) =>
  input.dtype === 'f32' && size(input.shape) === size(output.shape);

/** The texts of the leaves: `x0`, `x1`, … */
const leafNames = (places: number): Map<Expr, string> =>
  new Map(Array.from({ length: places }, (_, place) => [operand(place), `x${place}`]));

const numberPlaces = (numbers: ElementwiseAttrs['numbers']): number[] =>
  numbers.flatMap((number, place) => (number === null ? [] : [place]));

/** Four elements an invocation. */
function mapKernel(
  name: string,
  values: readonly Expr[],
  sources: readonly Source[],
  output: Spec,
  numbers: ElementwiseAttrs['numbers'],
): Kernel {
  const cells = Math.ceil(size(output.shape) / 4);
  // Where four neighbours are read, or one is for all four.
  const kinds = sources.map(({ access: { kind, n } }) => (n % 4 === 0 ? `${kind} fours` : kind));
  const isWide = (i: number) => kinds[i] === 'same fours' || kinds[i] === 'suffix fours';
  const params: Record<string, number | F32> = {};
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
    grid: { cells },
    variant: [numbers.map((number) => (number === null ? 't' : 'n')).join(''), ...kinds],
    body() {
      const writer = new Writer(wgslOf('vec4f'), leafNames(numbers.length));
      const results = writer.write(values);
      return [
        ...sources.map((source, i) => `let x${source.place} = ${read(source, i)};`),
        ...numberPlaces(numbers).map((place) => `let x${place} = vec4f(p.x${place});`),
        ...writer.lines,
        ...results.map((result, k) => `out${k}[flat] = ${result};`),
      ]
        .map((line) => `  ${line}`)
        .join('\n');
    },
  });
}

/** The gpu.js text of one value, or the text of a loop over all elements where there are several. */
function hostText(
  values: readonly Expr[],
  sources: readonly Source[],
  numbers: ElementwiseAttrs['numbers'],
): string {
  const writer = new Writer(javaScript, leafNames(numbers.length));
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
  ${[...reads, ...writer.lines].join('\n  ')}
  return ${results[0]};
}`;
  }
  const outs = results.map((_, k) => `out${k}`);
  return `function ([${arrays.join(', ')}], [${outs.join(', ')}], [${args.join(', ')}]) {
  for (let i = 0; i < out0.length; i++) {
    ${[...reads, ...writer.lines, ...results.map((result, k) => `out${k}[i] = ${result};`)].join('\n    ')}
  }
}`;
}

/** A loop from its text. */
function loopOf(code: string, args: readonly number[]): HostLoop {
  const loop = hostFunction(code);
  return (inputs, outputs) => void loop(inputs, outputs, args);
}

/**
 * The gradient in operand k as an op of (gs, operands, results), made when it is first asked for. It is an
 * elementwise op again, so it has gradients of its own.
 */
function derivedVjp(name: string, arity: number, values: readonly Expr[]): Vjp<ElementwiseAttrs> {
  // Leaves of the derivatives: the op's own operands, then d(loss)/d(values), then the values.
  const seeds = values.map((_, j) => operand(arity + j));
  const results = new Map(values.map((value, j) => [value, operand(arity + values.length + j)]));
  const expressions = new Map<number, Expr | null>();
  const gradient = (k: number): Expr | null => {
    let found = expressions.get(k);
    if (found === undefined) {
      const exact = derivative(values, seeds, operand(k));
      // Where a value occurs in it, that is at hand and need not be computed again.
      found = exact && substitute(exact, results);
      expressions.set(k, found);
    }
    return found;
  };
  const derived = new Map<string, (leaf: (place: number) => Operand) => Tensor[]>();
  /** The gradients in several operands, from one kernel. */
  const runAll = (places: readonly number[], leaf: (place: number) => Operand): Tensor[] => {
    const key = places.join();
    let run = derived.get(key);
    if (!run) {
      const exprs = places.map((k) => gradient(k)!);
      const used = nodesOf(exprs).filter((node) => node.of === 'operand');
      const own = new Map(used.map((node, i) => [node, operand(i)]));
      const op = mapOp(
        `${name}.d${places.join('d')}`,
        used.length,
        exprs.map((expr) => substitute(expr, own)),
      );
      run = (leafOf) =>
        runMap(
          op,
          used.map((node) => leafOf(node.value)),
        );
      derived.set(key, run);
    }
    return run(leaf);
  };

  return (gs, inputs, outputs, { numbers }, wanted) => {
    const tensors = [...inputs];
    const operands = numbers.map((number): Operand => number ?? tensors.shift()!);
    const leaf = (place: number): Operand => [...operands, ...gs, ...outputs][place];
    const places = numbers.flatMap((number, place) => (number === null ? [place] : []));
    const { shape } = outputs[0];
    const needsKernel = (i: number) =>
      wanted[i] &&
      size(inputs[i].shape) === size(shape) &&
      !seeds.includes(gradient(places[i])!) &&
      gradient(places[i]) !== null;
    const together = places.flatMap((place, i) => (needsKernel(i) ? [place] : []));
    let all: Tensor[] | undefined;
    return places.map((place, i) => {
      const expr = gradient(place);
      if (!expr) return null;
      return () => {
        const seed = seeds.indexOf(expr);
        if (seed >= 0) return sumTo(gs[seed], inputs[i].shape);
        if (together.length < 2 || !together.includes(place)) {
          return sumTo(runAll([place], leaf)[0], inputs[i].shape);
        }
        all ??= runAll(together, leaf);
        return reshape(all[together.indexOf(place)], inputs[i].shape);
      };
    });
  };
}

/**
 * Shapes for the generated tests: every way of broadcasting, sizes that are and are not multiples of four,
 * and each operand as a number.
 */
function samplesOf(arity: number, { numbers = [], domains }: ElementwiseOptions): Sample<ElementwiseAttrs>[] {
  const fixed = Array.from({ length: arity }, (_, k) => numbers[k - arity + numbers.length] ?? null);
  const sample = (shape: (place: number) => Shape, given: readonly (number | null)[] = fixed) => ({
    shapes: given.flatMap((number, k) => (number === null ? [shape(k)] : [])),
    attrs: { numbers: given },
  });
  const alike = ([[], [1], [7], [3, 5], [2, 3, 4]] as const).map((shape) => sample(() => shape));
  const free = fixed.flatMap((number, k) => (number === null ? [k] : []));
  if (free.length === 1) return alike;
  const pairs = [
    [[3, 8], [8]],
    [[3, 5], [5]],
    [
      [3, 8],
      [3, 1],
    ],
    [
      [4, 3],
      [4, 1],
    ],
    [[2, 4], []],
  ] as const;
  const mixed = pairs.flatMap(([a, b]) => [
    sample((k) => (k === free[1] ? b : a)),
    sample((k) => (k === free[0] ? b : a)),
  ]);
  // Domains go by tensor, so that those before the number keep theirs.
  const asNumbers = (domains ? free.slice(-1) : free).map((k) => sample(() => [2, 3], fixed.with(k, 0.75)));
  return [...alike, ...mixed, ...asNumbers];
}

function knownOf(
  operands: readonly (number | readonly number[])[],
  output: readonly number[],
): Known<ElementwiseAttrs> {
  const lists = operands.filter((x) => typeof x !== 'number');
  return {
    inputs: lists.map((data) => ({ shape: [data.length], data })),
    attrs: { numbers: operands.map((x) => (typeof x === 'number' ? x : null)) },
    output,
  };
}
