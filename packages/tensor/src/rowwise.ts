import { DTypeError, ShapeError } from './errors.ts';
import { type Expr, operand } from './expr.ts';
import { type Domain, defineOp, type KernelOp, type KnownValues, type Vjp } from './op.ts';
import { cast } from './ops/cast.ts';
import { concat } from './ops/concat.ts';
import { reshape } from './ops/reshape.ts';
import { broadcastTo } from './ops/sum.ts';
import { isElementwise, type OperandKind, type RowProgram, type Rows } from './row-plan.ts';
import { rowKernel, rowLoop } from './row-program.ts';
import { rowWasm } from './row-wasm.ts';
import { type Shape, type Spec, sameShape, showAll, size } from './shape.ts';
import { applyAll, type Tensor } from './tensor.ts';

/** A call of a row program: its operands that are numbers, and of a prefix program which rows see what. */
export interface RowwiseAttrs extends Prefix {
  readonly numbers: readonly number[];
}

export interface RowwiseOptions {
  /** The gradient where there is a better one than that of the composition, or null. */
  readonly vjp?: Vjp<RowwiseAttrs> | null;
  /** Rows see only so many columns as `period` and `offset` of a call say; what they do not see is 0. */
  readonly prefix?: boolean;
  /** Values of rows are one result, f32 [values, ..]. */
  readonly joined?: boolean;
  /** Element type of a result that is a place in the row. */
  readonly result?: 'i32';
  /** Shapes of x and attributes for the tests, besides [3, 1] and [2, 3, 11]. */
  readonly samples?: readonly { readonly x: Shape; readonly attrs?: Partial<RowwiseAttrs> }[];
  /** Numbers for the operands that are numbers. */
  readonly numbers?: readonly number[];
  readonly domains?: readonly (Domain | undefined)[];
  readonly known?: readonly (KnownValues & { readonly attrs?: Partial<RowwiseAttrs> })[];
  readonly tolerance?: number;
}

/** Rows of one block, of which row i sees columns 0 … offset + i. 0: every row sees every column. */
export interface Prefix {
  readonly period: number;
  readonly offset: number;
}

type Exprs<K extends readonly OperandKind[]> = { [I in keyof K]: Expr };
type Operands<K extends readonly OperandKind[]> = { [I in keyof K]: K[I] extends 'number' ? number : Tensor };

/**
 * An op on rows, the last axis of its first operand of kind `row`: elements, sums and maxima along the row
 * (`rowSum`, `rowMax`, `rowMean`), each computed once a row. f32 [.., n], … → f32 [.., n], or f32 [..] where the
 * value is one a row. A `column` operand is [n]; a `cell` is f32 [..] and an `index` i32 [..].
 *
 *     const softmax = rowwise('softmax', ['row'], (x) => {
 *       const e = exp(sub(x, rowMax(x)));
 *       return div(e, rowSum(e));
 *     });
 *
 * Unless `vjp` is given, its gradient is that of the same function run op by op.
 */
export function rowwise<const K extends readonly OperandKind[]>(
  name: string,
  kinds: K,
  value: (...operands: Exprs<K>) => Expr,
  options: RowwiseOptions = {},
): (...operands: [...Operands<K>, prefix?: Prefix]) => Tensor {
  const run = rowwiseAll(name, kinds, (...operands) => [value(...operands)], options);
  return (...operands) => run(...operands)[0];
}

/** The same with several results, all of elements or all of rows, in one kernel. */
export function rowwiseAll<const K extends readonly OperandKind[]>(
  name: string,
  kinds: K,
  values: (...operands: Exprs<K>) => readonly Expr[],
  options: RowwiseOptions = {},
): (...operands: [...Operands<K>, prefix?: Prefix]) => Tensor[] {
  const program: RowProgram = {
    name,
    kinds,
    values: values(...(kinds.map((_, place) => operand(place)) as unknown as Exprs<K>)),
    prefix: options.prefix,
    joined: options.joined,
  };
  if (program.joined && isElementwise(program)) throw new Error(`${name}: joins values of elements`);
  const onTensors = values as unknown as (...operands: (Tensor | number)[]) => readonly Tensor[];
  const op = defineOp(rowOp(program, onTensors, options));
  return (...given) => {
    const operands = given.slice(0, kinds.length) as (Tensor | number)[];
    const { period, offset } = (given[kinds.length] as Prefix | undefined) ?? { period: 0, offset: 0 };
    const tensors = operands.filter((x) => typeof x !== 'number');
    return applyAll(op, tensors, { numbers: operands.filter((x) => typeof x === 'number'), period, offset });
  };
}

function rowOp(
  program: RowProgram,
  onTensors: (...operands: (Tensor | number)[]) => readonly Tensor[],
  options: RowwiseOptions,
): KernelOp<RowwiseAttrs> {
  const { name, kinds, prefix = false, joined = false } = program;
  const tensorKinds = kinds.filter((kind) => kind !== 'number');
  const lead = tensorKinds.indexOf('row');
  const byElement = isElementwise(program);
  const shapeOf: Record<OperandKind, (x: Shape) => Shape> = {
    row: (x) => x,
    column: (x) => x.slice(-1),
    cell: (x) => x.slice(0, -1),
    index: (x) => x.slice(0, -1),
    number: () => [],
  };
  const rowsOf = (inputs: readonly Spec[], { numbers, period, offset }: RowwiseAttrs): Rows => {
    const { shape } = inputs[lead];
    const n = shape.at(-1)!;
    return { outer: size(shape) / n, n, inner: 1, numbers, period, offset };
  };
  const composes = !prefix && options.result === undefined;
  return {
    kind: 'kernel',
    name,
    infer(inputs) {
      const x = inputs[lead];
      if (inputs.some(({ dtype }, i) => dtype !== (tensorKinds[i] === 'index' ? 'i32' : 'f32'))) {
        const types = tensorKinds.map((kind) => (kind === 'index' ? 'i32' : 'f32')).join(', ');
        throw new DTypeError(`${name}: needs ${types}, got ${showAll(inputs)}`);
      }
      const fits =
        x.shape.length > 0 &&
        x.shape.at(-1)! > 0 &&
        inputs.every(({ shape }, i) => sameShape(shape, shapeOf[tensorKinds[i]](x.shape)));
      if (!fits) {
        const needs = tensorKinds.map(
          (kind) => ({ row: '[.., n]', column: '[n]', cell: '[..]', index: '[..]' })[kind],
        );
        throw new ShapeError(`${name}: needs ${needs.join(', ')} with n > 0, got ${showAll(inputs)}`);
      }
      const shape = byElement ? x.shape : x.shape.slice(0, -1);
      if (joined) return [{ shape: [program.values.length, ...shape], dtype: 'f32' }];
      return program.values.map(() => ({ shape, dtype: options.result ?? 'f32' }));
    },
    wgsl: (inputs, outputs, attrs, device) =>
      rowKernel(program, rowsOf(inputs, attrs), inputs, outputs, device),
    wasm: (inputs, outputs, attrs) => rowWasm(program, rowsOf(inputs, attrs), inputs, outputs),
    host: (inputs, _, attrs) => rowLoop(program, rowsOf(inputs, attrs)),
    vjp: options.vjp ?? (options.vjp === undefined && composes ? 'composed' : null),
    indices: (inputs) => {
      const below = inputs[lead].shape.at(-1)!;
      return tensorKinds.flatMap((kind, input) =>
        kind === 'index' ? [{ input, below, negative: true }] : [],
      );
    },
    composed: composes
      ? (inputs, { numbers }) => {
          const tensors = [...inputs];
          const rest = [...numbers];
          const operands = kinds.map((kind) => (kind === 'number' ? rest.shift()! : tensors.shift()!));
          const results = composedRows(onTensors, kinds, operands, byElement);
          return joined
            ? concat(
                results.map((y) => reshape(y, [1, ...y.shape])),
                0,
              )
            : results;
        }
      : undefined,
    samples: [{ x: [3, 1] }, { x: [2, 3, 11] }, ...(options.samples ?? [])].map(({ x, attrs }) => ({
      shapes: tensorKinds.map((kind) => shapeOf[kind](x)),
      attrs: { numbers: options.numbers ?? [], period: 0, offset: 0, ...attrs },
    })),
    known: options.known?.map((known) => ({
      ...known,
      attrs: { numbers: options.numbers ?? [], period: 0, offset: 0, ...known.attrs },
    })),
    domains: options.domains,
    tolerance: options.tolerance,
  };
}

/** The function of a row program run op by op: what is one a row is an axis of 1. */
function composedRows(
  values: (...operands: (Tensor | number)[]) => readonly Tensor[],
  kinds: readonly OperandKind[],
  operands: readonly (Tensor | number)[],
  byElement: boolean,
): readonly Tensor[] {
  const results = values(
    ...operands.map((x, place) => {
      if (typeof x === 'number' || kinds[place] === 'row' || kinds[place] === 'column') return x;
      return reshape(kinds[place] === 'index' ? cast(x, 'f32') : x, [...x.shape, 1]);
    }),
  );
  const { shape } = operands[kinds.indexOf('row')] as Tensor;
  const whole = byElement ? shape : [...shape.slice(0, -1), 1];
  return results.map((y) => reshape(broadcastTo(y, whole), byElement ? shape : shape.slice(0, -1)));
}
