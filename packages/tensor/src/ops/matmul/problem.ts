import type { Binding } from '../../kernel-record.ts';
import { scaleParams } from '../../quantized-wgsl.ts';
import { type DType, type Spec, size } from '../../shape.ts';

export interface MatmulAttrs {
  /** Read a as its transpose: it is [.., k, m]. */
  readonly transposeA: boolean;
  /** Read b as its transpose: it is [.., n, k]. */
  readonly transposeB: boolean;
}

/** One batched product: what the choice of a kernel and its immediates follow from. */
export interface Problem extends MatmulAttrs {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Matrices of the output. */
  readonly batch: number;
  /** Elements from one matrix of a to the next; 0 where one matrix serves the whole batch. */
  readonly strideA: number;
  readonly strideB: number;
  readonly typeA: DType;
  readonly typeB: DType;
  /** Where a kernel finds the scales of b, where it is quantized. */
  readonly scalesB: Readonly<Record<string, number>>;
  /** Whether a third input, f32 of the output's shape, is added. */
  readonly plus: boolean;
}

/**
 * The problem of inputs that `infer` has accepted. A single row of a and a single column of b lie in memory as
 * their transposes do; they are taken in the way that kernels read faster, along k.
 */
export function problemOf(inputs: readonly Spec[], output: Spec, attrs: MatmulAttrs): Problem {
  const [a, b] = inputs;
  const [m, n] = output.shape.slice(-2);
  const k = a.shape[a.shape.length - (attrs.transposeA ? 2 : 1)];
  return {
    m,
    n,
    k,
    transposeA: attrs.transposeA && m > 1,
    transposeB: attrs.transposeB || n === 1,
    batch: size(output.shape.slice(0, -2)),
    strideA: a.shape.length > 2 ? m * k : 0,
    strideB: b.shape.length > 2 ? k * n : 0,
    typeA: a.dtype,
    typeB: b.dtype,
    scalesB: scaleParams('b', b),
    plus: inputs.length > 2,
  };
}

/** How a kernel declares the input that is added, where there is one. */
export const plusBinding = ({ plus }: Pick<Problem, 'plus'>): Readonly<Record<string, Binding>> =>
  plus ? { plus: { type: 'f32' } } : {};

/** Text that adds its element at an index to what follows: the same in WGSL and in gpu.js. */
export const plusAt = ({ plus }: Pick<Problem, 'plus'>, index: string): string =>
  plus ? `plus[${index}] + ` : '';
