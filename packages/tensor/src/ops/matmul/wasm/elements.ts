import type { Spec } from '../../../shape.ts';
import { type Body, type I32, i32, type Local, loadShifted, rescaled, v128 } from '../../../wasm/index.ts';

/** How the elements of an input are read, as f32. */
export interface Elements {
  /** Of one. */
  readonly bytes: number;
  /** Four that lie side by side. */
  readonly load: (w: Body, address: I32, offset?: number) => Local<'v128'>;
}

const f32Elements: Elements = {
  bytes: 4,
  load: (w, address, offset) => w.let(v128.load(address, offset)),
};
const f16Elements: Elements = {
  bytes: 2,
  load: (w, address, offset) => w.let(rescaled(w.let(loadShifted(address, offset)))),
};

export const elementsOf = ({ dtype }: Spec): Elements => (dtype === 'f16' ? f16Elements : f32Elements);

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
