import type { Shape, Spec } from './shape.ts';
import type { Tensor } from './tensor.ts';

/**
 * A number a kernel gets at dispatch, so that it never enters the shader's text: u32, or f32 where marked.
 */
export type Immediate = number | { readonly f32: number };

/** What the WGSL of an op may count on. */
export interface WgslDevice {
  /**
   * Lanes of a subgroup when that number is fixed and known, else 0: then no subgroup operation may be used.
   */
  readonly subgroupSize: number;
  /** True on a software rasteriser, where memory is a cache and barriers cost more than arithmetic. */
  readonly software: boolean;
}

/** One dispatch. Bindings: the inputs in order (read), then the output (read_write), all in group 0. */
export interface WgslKernel {
  /** The shader's text; it is the key of the pipeline cache, so it must not hold sizes or scalars. */
  readonly code: string;
  readonly workgroups: readonly [number, number, number];
  /** At most 16 of them (64 bytes), in the order of the text's `var<immediate>` struct. */
  readonly immediates: readonly Immediate[];
}

export type HostArray = Float32Array | Float64Array | Int32Array | Uint32Array;

/**
 * What an op means on the host. Either the text of a gpu.js kernel, `function (inputs…, args…)`, which
 * computes the cell `this.thread.x` (of a row `this.thread.y` where two sizes are given) of the flat output;
 * or, for an op that is not naturally one thread a cell, a plain loop that fills the output. Both also run in
 * f64, as the reference.
 */
export type GpuJsKernel =
  | {
      readonly code: string;
      readonly threads: readonly [number] | readonly [number, number];
      readonly args: readonly number[];
    }
  | { readonly host: (inputs: readonly HostArray[], output: HostArray) => void };

/** One gradient a differentiable input, made only when asked for; null where there is none. */
export type Thunks = readonly ((() => Tensor | null) | null)[];

/** Shapes and attributes to test an op at; `domains` says how the elements are drawn. */
export interface Sample<A> {
  readonly shapes: readonly Shape[];
  readonly attrs: A;
}

/** Inputs and the exact output that an op must give. */
export interface Known<A> {
  readonly inputs: readonly { readonly shape: Shape; readonly data: readonly number[] }[];
  readonly attrs: A;
  readonly output: readonly number[];
}

/** How the elements of an input are drawn in the generated tests. */
export type Domain =
  | { readonly kind: 'real'; readonly min: number; readonly max: number }
  | { readonly kind: 'index'; readonly below: number };

/** An operation: everything there is to know of it, in one object and one file. */
export interface Op<A extends object = object> {
  readonly name: string;
  /** The rule of shapes and element types; the only place that checks inputs. */
  infer(inputs: readonly Spec[], attrs: A): Spec;
  /** Without kernels an op's output is its first input's memory under the inferred shape, as in `reshape`. */
  wgsl?(inputs: readonly Spec[], output: Spec, attrs: A, device: WgslDevice): WgslKernel;
  gpujs?(inputs: readonly Spec[], output: Spec, attrs: A): GpuJsKernel;
  /**
   * For each input a thunk that gives d(loss)/d(input) from g = d(loss)/d(output), or null where there is
   * none. Thunks are made of ops, so they can be differentiated again. `'composed'`: differentiate `composed`
   * instead. null: the op has no gradient.
   */
  readonly vjp:
    | ((g: Tensor, inputs: readonly Tensor[], output: Tensor, attrs: A) => Thunks)
    | 'composed'
    | null;
  /** The same function made of simpler ops: what a fused op must equal. */
  readonly composed?: (inputs: readonly Tensor[], attrs: A) => Tensor;
  readonly samples: readonly Sample<A>[];
  readonly known?: readonly Known<A>[];
  /** One per input; left out: real numbers in [-2, 2]. */
  readonly domains?: readonly (Domain | undefined)[];
  /** Largest error relative to 1 + |value| that f32 justifies at the samples; left out: 1e-5. */
  readonly tolerance?: number;
}

// biome-ignore lint/suspicious/noExplicitAny: an op of any attributes
export type AnyOp = Op<any>;

/** Every op defined so far. The generated tests walk it. */
export const opTable = new Map<string, AnyOp>();

/** Adds an op to the table. Throws when the name is taken. */
export function defineOp<A extends object>(op: Op<A>): Op<A> {
  if (opTable.has(op.name)) throw new Error(`op "${op.name}" is defined twice`);
  opTable.set(op.name, op);
  return op;
}
