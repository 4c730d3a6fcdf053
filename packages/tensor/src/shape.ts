import { ShapeError } from './errors.ts';
import { type QuantizedDType, quantizedLayout } from './quantized-layout.ts';

/** Sizes of the axes, outermost first. `[]` is a scalar. */
export type Shape = readonly number[];

/**
 * Element types. f32 computes; f16 only stores (kernels widen it to f32 on load, and `cast` rounds to it);
 * i32 and u32 are indices. int8 and nf4 are codes with scales (see `quantize`), of frozen weights: the second
 * operand of `matmul`, or what `cast` makes f32 of.
 */
export type DType = 'f32' | 'f16' | 'i32' | 'u32' | QuantizedDType;

/** What is known of a tensor before it is computed. */
export interface Spec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Bytes of an element; of int8 and nf4 those of its code, without its share of the scales. */
export const bytesPerElement: Record<DType, number> = { f32: 4, f16: 2, i32: 4, u32: 4, int8: 1, nf4: 0.5 };

/** Bytes of a tensor's elements, with their scales. Throws ShapeError where its type has no such shape. */
export const bytesOf = ({ shape, dtype }: Spec): number =>
  dtype === 'int8' || dtype === 'nf4'
    ? 4 * quantizedLayout(dtype, size(shape), shape.at(-1)).words
    : size(shape) * bytesPerElement[dtype];

/** Number of elements: the product of the axes. */
export function size(shape: Shape): number {
  let n = 1;
  for (const axis of shape) n *= axis;
  return n;
}

/** Row-major strides in elements. */
export function strides(shape: Shape): number[] {
  const out = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    out[i] = step;
    step *= shape[i];
  }
  return out;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** `f32[2, 3]`, as error messages show it. */
export function show(spec: Spec): string {
  return `${spec.dtype}[${spec.shape.join(', ')}]`;
}

/** `f32[2, 3] and f32[4, 5]`. */
export function showAll(specs: readonly Spec[]): string {
  return specs.map(show).join(' and ');
}

/** Counts a negative axis from the end. Throws ShapeError when the axis is not in the shape. */
export function axisIndex(op: string, shape: Shape, axis: number): number {
  const index = axis < 0 ? axis + shape.length : axis;
  if (!Number.isInteger(axis) || index < 0 || index >= shape.length) {
    throw new ShapeError(
      `${op}: axis ${axis} is not in a shape of rank ${shape.length}, [${shape.join(', ')}]`,
    );
  }
  return index;
}

/**
 * The shape that NumPy broadcasting gives: shapes are aligned at the end, and an axis of 1 stretches.
 * Throws ShapeError when two axes differ and neither is 1.
 */
export function broadcastShapes(op: string, specs: readonly Spec[]): Shape {
  const [first] = specs;
  if (specs.every(({ shape }) => sameShape(shape, first.shape))) return first.shape;
  const rank = Math.max(...specs.map((s) => s.shape.length));
  const out = new Array<number>(rank).fill(1);
  for (const { shape } of specs) {
    const lead = rank - shape.length;
    for (let i = 0; i < shape.length; i++) {
      const n = shape[i];
      if (n === 1) continue;
      if (out[lead + i] !== 1 && out[lead + i] !== n) {
        throw new ShapeError(`${op}: shapes must broadcast, got ${showAll(specs)}`);
      }
      out[lead + i] = n;
    }
  }
  return out;
}
