import type { Kernel } from './kernel-record.ts';
import { type Shape, type Spec, size } from './shape.ts';
import type { Donated, Tensor } from './tensor.ts';
import type { WasmKernel } from './wasm-kernel.ts';

/** What the WGSL of an op may count on. */
export interface WgslDevice {
  /**
   * Lanes of a subgroup when that number is fixed and known, else 0: then no subgroup operation may be used.
   */
  readonly subgroupSize: number;
  /** True on a software rasteriser, where memory is a cache and barriers cost more than arithmetic. */
  readonly software: boolean;
}

export type HostArray = Float32Array | Float64Array | Int32Array | Uint32Array;

/** A plain loop that fills the outputs, in the precision of the arrays. */
export type HostLoop = (inputs: readonly HostArray[], outputs: readonly HostArray[]) => void;

/**
 * The text of a gpu.js kernel, `function (inputs…, args…)`, which computes the cell `this.thread.x` (of a row
 * `this.thread.y` where two sizes are given) of the only output.
 */
export interface GpuJsText {
  readonly code: string;
  readonly threads: readonly [number] | readonly [number, number];
  readonly args: readonly number[];
}

/** What a kernel means on the host. Run in f64 it is the op's definition. */
export type HostKernel = HostLoop | GpuJsText;

/** A gradient that is made when it is asked for. */
export interface Thunk {
  (): Tensor | null;
  /** The gradient added to a tensor of its shape, by the kernel that makes it. Left out: none can. */
  readonly onto?: (sum: Tensor | Donated) => Tensor;
}

/** One gradient a differentiable input; null where there is none. */
export type Thunks = readonly (Thunk | null)[];

/** The thunk of a gradient whose kernel adds it to what it is given, if anything. */
export const adding = (make: (sum?: Tensor | Donated) => Tensor): Thunk =>
  Object.assign(() => make(), { onto: make });

/**
 * For each input a thunk that gives d(loss)/d(input) from gs = d(loss)/d(outputs). Thunks are made of ops, so
 * they can be differentiated again. `wanted` says which of them will be asked for.
 */
export type Vjp<A> = (
  gs: readonly Tensor[],
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  attrs: A,
  wanted: readonly boolean[],
) => Thunks;

/** Shapes and attributes to test an op at; `domains` says how the elements are drawn. */
export interface Sample<A> {
  readonly shapes: readonly Shape[];
  readonly attrs: A;
}

/** Inputs and the exact output that an op must give; of several outputs, one after the other. */
export interface Known<A> extends KnownValues {
  readonly attrs: A;
}

export interface KnownValues {
  readonly inputs: readonly { readonly shape: Shape; readonly data: readonly number[] }[];
  readonly output: readonly number[];
}

/** How the elements of an input are drawn in the generated tests. */
export type Domain =
  | { readonly kind: 'real'; readonly min: number; readonly max: number }
  | { readonly kind: 'index'; readonly below: number };

/** The elements of an input are below a number, and not below 0 unless that means none. */
export interface IndexRange {
  readonly input: number;
  readonly below: number;
  readonly negative?: boolean;
}

interface OpBase<A> {
  readonly name: string;
  /** The rule of shapes and element types; the only place that checks inputs. A list: several outputs. */
  infer(inputs: readonly Spec[], attrs: A): Spec | readonly Spec[];
  /** `'composed'`: differentiate `composed` instead. null: the op has no gradient. */
  readonly vjp: Vjp<A> | 'composed' | null;
  readonly samples: readonly Sample<A>[];
  readonly known?: readonly Known<A>[];
  /** One per input; left out: real numbers in [-2, 2]. */
  readonly domains?: readonly (Domain | undefined)[];
  /** Largest error relative to 1 + |value| that f32 justifies at the samples; left out: 1e-5. */
  readonly tolerance?: number;
}

/** One kernel: a dispatch on a GPU, a loop on the host. */
export interface KernelOp<A> extends OpBase<A> {
  readonly kind: 'kernel';
  /** `taken` is for each output the input whose memory it has (see `donates`), or −1. */
  wgsl(
    inputs: readonly Spec[],
    outputs: readonly Spec[],
    attrs: A,
    device: WgslDevice,
    taken: readonly number[],
  ): Kernel;
  host(inputs: readonly Spec[], outputs: readonly Spec[], attrs: A): HostKernel;
  /**
   * The kernel of the CPU engine, or several that run one after the other. Left out, or undefined for a call:
   * `host` runs as JavaScript.
   */
  wasm?(
    inputs: readonly Spec[],
    outputs: readonly Spec[],
    attrs: A,
    taken: readonly number[],
  ): WasmKernel | readonly WasmKernel[] | undefined;
  /** Additions and multiplications of a call; left out: one for each element of the outputs. */
  flops?(inputs: readonly Spec[], outputs: readonly Spec[], attrs: A): number;
  /** Inputs that are indices, and what is allowed; a `checked` backend looks at them. */
  indices?(inputs: readonly Spec[], attrs: A): readonly IndexRange[];
  /** The same function made of simpler ops: what a fused op must equal. */
  readonly composed?: (inputs: readonly Tensor[], attrs: A) => Tensor | readonly Tensor[];
  /**
   * For each output the inputs of its size and type whose memory it may take over, if the caller gives that
   * up (see `donate`). The kernel then reads an element of that input only where it writes the same one,
   * before it does; what it does not write keeps its value.
   */
  donates?(inputs: readonly Spec[], outputs: readonly Spec[], attrs: A): readonly (readonly number[])[];
}

/** The elements of the first input from `offset` on, under the inferred shape: no kernel, the same memory. */
export interface ViewOp<A> extends OpBase<A> {
  readonly kind: 'view';
  /** In elements; it must suit `Backend.viewAlignment`. */
  offset(input: Spec, attrs: A): number;
}

/** Several ops that a tape holds as one. */
export interface CompositeOp<A> extends OpBase<A> {
  readonly kind: 'composite';
  readonly composed: (inputs: readonly Tensor[], attrs: A) => Tensor | readonly Tensor[];
}

/** An operation: everything there is to know of it, in one object and one file. */
export type Op<A extends object = object> = KernelOp<A> | ViewOp<A> | CompositeOp<A>;

// biome-ignore lint/suspicious/noExplicitAny: an op of any attributes
export type AnyOp = Op<any>;

/** Every op defined so far. The generated tests walk it. */
export const opTable = new Map<string, AnyOp>();

/** Adds an op to the table. Throws when the name is taken. */
export function defineOp<O extends AnyOp>(op: O): O {
  if (opTable.has(op.name)) throw new Error(`op "${op.name}" is defined twice`);
  opTable.set(op.name, op);
  return op;
}

/** What an op's outputs will be. Throws ShapeError or DTypeError for inputs that it does not take. */
export function outputsOf<A extends object>(op: Op<A>, inputs: readonly Spec[], attrs: A): readonly Spec[] {
  const specs = op.infer(inputs, attrs);
  return isList(specs) ? specs : [specs];
}

/** Additions and multiplications of an op's call. */
export function flopsOf(
  op: KernelOp<object>,
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  attrs: object,
) {
  return op.flops?.(inputs, outputs, attrs) ?? outputs.reduce((sum, { shape }) => sum + size(shape), 0);
}

/** What an op gave, as a list. */
export function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}

/** A sample from its shapes as one writes them, `'[3, 5] [5]'`. */
export function sample<A>(shapes: string, attrs: A): Sample<A> {
  return { shapes: listed(shapes) as number[][], attrs };
}

/** A known value from its inputs as nested lists, `'[[1, 2], [3, 4]] [5, 6]'`, and its output's elements. */
export function known<A = undefined>(inputs: string, output: readonly number[], attrs?: A): Known<A> {
  const numbers = listed(inputs).map((list) => {
    const shape: number[] = [];
    for (let inner: unknown = list; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
    return { shape, data: [list].flat(Number.POSITIVE_INFINITY) as number[] };
  });
  return { inputs: numbers, output, attrs: attrs as A };
}

/** What a text lists, with spaces between. */
export const listed = (text: string): unknown[] =>
  JSON.parse(`[${text.replaceAll(/(?<=[\]\d]) (?=[[\d-])/g, ', ')}]`);
