import { isQuantized } from '../../../quantized.ts';
import { quantizedFours, scalesOf } from '../../../quantized-wasm.ts';
import { bytesPerElement, type Spec } from '../../../shape.ts';
import { type Body, type I32, i32, type Local, loadShifted, rescaled, v128 } from '../../../wasm/index.ts';

/** How the elements of an input are read, as f32. */
export interface Elements {
  /** Of one; half a byte of nf4. */
  readonly bytes: number;
  /** Four that lie side by side. */
  readonly load: (w: Body, address: I32) => Local<'v128'>;
}

const f32Elements: Elements = {
  bytes: 4,
  load: (w, address) => w.let(v128.load(address)),
};
const f16Elements: Elements = {
  bytes: 2,
  load: (w, address) => w.let(rescaled(w.let(loadShifted(address)))),
};

export const elementsOf = ({ dtype }: Spec): Elements => (dtype === 'f16' ? f16Elements : f32Elements);

/** Those of b, which may be quantized, from the kernel's variables. */
export function elementsOfB(
  w: Body,
  spec: Spec,
  { b, ...others }: Readonly<Record<'b', I32>> & Readonly<Record<string, I32>>,
): Elements {
  if (!isQuantized(spec)) return elementsOf(spec);
  return { bytes: bytesPerElement[spec.dtype], load: quantizedFours(w, spec, scalesOf('b', b, others)) };
}

/** The bytes of so many elements. */
export const bytesFor = ({ bytes }: Elements, count: I32): I32 =>
  bytes < 1 ? i32.divU(count, 1 / bytes) : i32.mul(count, bytes);

/** The inputs by the names that a kernel's body has for them; the last only where there is one to add. */
export const inputsOf = (a: Spec, b: Spec, plus: Spec | undefined) =>
  ({ a, b, ...(plus && { plus }) }) as Readonly<Record<'a' | 'b' | 'plus', Spec>>;

/** 0 … count − 1. */
export const indices = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/**
 * The addresses of so many rows, each `step` bytes after the one before; rows from `there` on, which do not exist,
 * are the last one again.
 */
export const rowPointers = (w: Body, count: number, first: I32, step: I32, there: I32): Local<'i32'>[] =>
  indices(count).map((i) =>
    w.let(i === 0 ? first : i32.add(first, i32.mul(step, i32.min(i32.const(i), i32.sub(there, 1))))),
  );
