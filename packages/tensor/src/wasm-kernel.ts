import type { Immediate } from './kernel-record.ts';
import type { Spec } from './shape.ts';
import { Body, type Local } from './wasm/body.ts';
import { f32, i32 } from './wasm/values.ts';

/** One loop over independent items, compiled to WebAssembly and shared among threads. */
export interface WasmKernel {
  readonly name: string;
  /** Equal keys mean equal code. */
  readonly key: string;
  /** Pieces of work, numbered from 0. What one writes must not depend on which others a thread has. */
  readonly items: number;
  /** About how many nanoseconds an item takes on one thread: whether, and how, the items are shared. */
  readonly cost: number;
  /** Bytes of memory that hold anything at first, and are the same for all kernels of one call. */
  readonly temporary: number;
  readonly immediates: readonly Immediate[];
  /** The module that exports `run(from, to, args, scratch)`. */
  module(): Uint8Array<ArrayBuffer>;
}

/** The variables of a body: addresses of tensors in bytes, and numbers given at the call. */
type Variables<T extends string, P extends Readonly<Record<string, Immediate>>> = {
  readonly [Name in T | 'temporary']: Local<'i32'>;
} & { readonly [Name in keyof P]: P[Name] extends number ? Local<'i32'> : Local<'f32'> };

/** A kernel as it is written: the record of `kernel` for WebAssembly. */
export interface WasmRecord<
  In extends string,
  Out extends string,
  P extends Readonly<Record<string, Immediate>>,
> {
  readonly name: string;
  /** Inputs in the op's order, by the names that the body has for their addresses. */
  readonly in: Readonly<Record<In, Spec>>;
  readonly out: Readonly<Record<Out, Spec>>;
  /** Sizes (i32) and scalars (`f32(…)`). They never enter the code. */
  readonly params?: P;
  readonly items: number;
  readonly cost: number;
  readonly temporary?: number;
  /** All that the code depends on besides the types of the tensors and the names of the params. */
  readonly variant?: readonly (string | number | boolean)[];
  /**
   * Writes what items `w.from` … `w.to` − 1 are. Memory behind an output up to a multiple of 16 bytes may be
   * written; behind any tensor 16 bytes can be read.
   */
  readonly body: (w: KernelBody, names: Variables<In | Out, P>) => void;
}

/** Bytes of memory that each thread has for itself while it runs a kernel. */
export const scratchBytes = 512 * 1024;

/** The statements of a kernel. */
export class KernelBody extends Body {
  constructor() {
    super(['i32', 'i32', 'i32', 'i32']);
  }
  /** The first item, and the one after the last. */
  readonly from = this.param(0, 'i32');
  readonly to = this.param(1, 'i32');
  /** Where the addresses and numbers of the call lie, four bytes each. */
  readonly args = this.param(2, 'i32');
  /** `scratchBytes` of memory of this thread. */
  readonly scratch = this.param(3, 'i32');
}

/** A kernel from one record. Its code is written when a backend sees the key for the first time. */
export function wasmKernel<
  const In extends string,
  const Out extends string,
  const P extends Readonly<Record<string, Immediate>>,
>(record: WasmRecord<In, Out, P>): WasmKernel {
  const { name, params, variant = [], items, cost, temporary = 0 } = record;
  const specs: Spec[] = [...Object.values<Spec>(record.in), ...Object.values<Spec>(record.out)];
  const immediates: readonly Immediate[] = Object.values(params ?? {});
  const kinds = immediates.map((value) => (typeof value === 'number' ? 'u' : 'f'));
  return {
    name,
    key: [name, ...specs.map(({ dtype }) => dtype), kinds.join(''), ...variant].join(' '),
    items,
    cost,
    temporary,
    immediates,
    module: () => moduleOf(record),
  };
}

function moduleOf<In extends string, Out extends string, P extends Readonly<Record<string, Immediate>>>(
  record: WasmRecord<In, Out, P>,
): Uint8Array<ArrayBuffer> {
  const w = new KernelBody();
  const addresses = [...Object.keys(record.in), ...Object.keys(record.out), 'temporary'];
  const numbers = Object.entries(record.params ?? {});
  const names = Object.fromEntries([
    ...addresses.map((name, i) => [name, w.let(i32.load(w.args, 4 * i))]),
    ...numbers.map(([name, value], i) => {
      const offset = 4 * (addresses.length + i);
      return [name, w.let(typeof value === 'number' ? i32.load(w.args, offset) : f32.load(w.args, offset))];
    }),
  ]) as Variables<In | Out, P>;
  record.body(w, names);
  return w.module();
}
