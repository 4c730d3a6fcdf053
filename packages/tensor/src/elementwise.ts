import { DTypeError, ShapeError } from './errors.ts';
import { asExpr, derivative, Expr, nodesOf, operand, substitute } from './expr.ts';
import { accessOf, type MapProgram, mapKernel, mapOnHost } from './map-program.ts';
import { mapWasm } from './map-wasm.ts';
import { type Domain, defineOp, type KernelOp, type Known, listed, type Sample, type Vjp } from './op.ts';
import { reshape } from './ops/reshape.ts';
import { broadcastTo, sumTo } from './ops/sum.ts';
import { broadcastShapes, type Shape, type Spec, showAll, size } from './shape.ts';
import { applyAll, Donated, isRecording, type Tensor } from './tensor.ts';

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
  /** Operands as one writes them, lists being tensors, and the result: `['[1, 2] 3', [4, 5]]`. */
  readonly known?: readonly (readonly [operands: string, result: readonly number[]])[];
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
  return (given) => {
    if (given.length < arity) throw new ShapeError(`${name}: needs ${arity} operands, got ${given.length}`);
    return runMap(op, given.slice(0, arity));
  };
}

function runMap(op: KernelOp<ElementwiseAttrs>, operands: readonly Operand[]): Tensor[] {
  const given = operands.filter((x) => typeof x !== 'number');
  if (given.length === 0)
    throw new DTypeError(`${op.name}: needs a tensor among its operands, got numbers alone`);
  const numbers = operands.map((x) => (typeof x === 'number' ? x : null));
  const shape = broadcastShapes(op.name, given.map(tensorOf));
  const ready = given.map((x) => (accessOf(tensorOf(x).shape, shape) ? x : broadcastTo(tensorOf(x), shape)));
  const results = applyAll(op, ready, { numbers });
  // One that had to be expanded is given up all the same.
  if (!isRecording()) for (const x of given) if (x instanceof Donated) x.tensor.dispose();
  return results;
}

const tensorOf = (x: Tensor | Donated): Tensor => (x instanceof Donated ? x.tensor : x);

/** An elementwise op of expressions in `operand(0)`, `operand(1)`, …, not yet in the table. */
function mapOp(
  name: string,
  arity: number,
  values: readonly Expr[],
  options: ElementwiseOptions = {},
): KernelOp<ElementwiseAttrs> {
  const program: MapProgram = { name, values };
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
    wgsl: (inputs, [output], { numbers }) => mapKernel(program, inputs, output, numbers),
    wasm: (inputs, [output], { numbers }) => mapWasm(program, inputs, output, numbers),
    host: (inputs, [output], { numbers }) => mapOnHost(program, inputs, output, numbers),
    // Every element is read before the same one is written, so any input of the output's size will do.
    donates: (inputs, outputs) =>
      outputs.map((output) => inputs.flatMap((input, i) => (isTwin(input, output) ? [i] : []))),
    vjp: derivedVjp(name, arity, values),
    samples: samplesOf(arity, options),
    known: options.known?.map(([operands, result]) => knownOf(operands, result)),
    domains: options.domains,
    tolerance: options.tolerance,
  };
}

const isTwin = (input: Spec, output: Spec) =>
  input.dtype === 'f32' && size(input.shape) === size(output.shape);

/** Tensors that a kernel may bind on every device. */
const mostBindings = 8;

/** Gradients as one op, and which of operands, gradients of the results and results are its operands. */
interface Derived {
  readonly op: KernelOp<ElementwiseAttrs>;
  readonly leaves: readonly number[];
  readonly bindings: number;
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
  const derived = new Map<string, Derived>();
  /** The gradients in several operands as one op. */
  const together = (places: readonly number[]): Derived => {
    const key = places.join('d');
    let found = derived.get(key);
    if (!found) {
      const exprs = places.map((k) => gradient(k)!);
      const leaves = nodesOf(exprs).filter((node) => node.of === 'operand');
      const own = new Map(leaves.map((leaf, i) => [leaf, operand(i)]));
      const ownExprs = exprs.map((expr) => substitute(expr, own));
      const op = mapOp(`${name}.d${key}`, leaves.length, ownExprs);
      found = { op, leaves: leaves.map((leaf) => leaf.value), bindings: leaves.length + places.length };
      derived.set(key, found);
    }
    return found;
  };

  return (gs, inputs, outputs, { numbers }, wanted) => {
    const tensors = [...inputs];
    const operands = numbers.map((number): Operand => number ?? tensors.shift()!);
    const all = [...operands, ...gs, ...outputs];
    const run = ({ op, leaves }: Derived) =>
      runMap(
        op,
        leaves.map((place) => all[place]),
      );
    const places = numbers.flatMap((number, place) => (number === null ? [place] : []));
    const whole = size(outputs[0].shape);
    const needsKernel = (place: number, i: number): boolean => {
      const expr = wanted[i] && size(inputs[i].shape) === whole ? gradient(place) : null;
      return expr !== null && !seeds.includes(expr);
    };
    const joined = places.filter(needsKernel);
    const joint = joined.length > 1 ? together(joined) : null;
    const fits = joint !== null && joint.bindings <= mostBindings;
    let made: Tensor[] | undefined;
    return places.map((place, i) => {
      const expr = gradient(place);
      if (!expr) return null;
      return () => {
        const seed = seeds.indexOf(expr);
        if (seed >= 0) return sumTo(gs[seed], inputs[i].shape);
        if (!fits || !joined.includes(place)) return sumTo(run(together([place]))[0], inputs[i].shape);
        made ??= run(joint);
        return reshape(made[joined.indexOf(place)], inputs[i].shape);
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

function knownOf(text: string, output: readonly number[]): Known<ElementwiseAttrs> {
  const operands = listed(text);
  const lists = operands.filter((x) => typeof x !== 'number') as number[][];
  return {
    inputs: lists.map((data) => ({ shape: [data.length], data })),
    attrs: { numbers: operands.map((x) => (typeof x === 'number' ? x : null)) },
    output,
  };
}
