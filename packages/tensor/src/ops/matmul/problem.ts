import { type Binding, f32, type Immediate } from '../../kernel-record.ts';
import { scaleParams } from '../../quantized-wgsl.ts';
import { type DType, type Spec, size } from '../../shape.ts';

export interface MatmulAttrs {
  /** Read a as its transpose: it is [.., k, m]. */
  readonly transposeA: boolean;
  /** Read b as its transpose: it is [.., n, k]. */
  readonly transposeB: boolean;
  /** What the product is multiplied by; left out: 1. Only where nothing is added. */
  readonly alpha?: number;
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
  readonly alpha: number;
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
    alpha: attrs.alpha ?? 1,
  };
}

/** How a kernel declares the input that is added, where there is one. */
export const plusBinding = ({ plus }: Pick<Problem, 'plus'>): Readonly<Record<string, Binding>> =>
  plus ? { plus: { type: 'f32' } } : {};

/** What becomes of a sum before it is stored. */
export interface Ending {
  readonly plus: boolean;
  /** Whether it is multiplied by a number. */
  readonly scaled: boolean;
}

export const endingOf = ({ plus, alpha }: Problem): Ending => ({ plus, scaled: alpha !== 1 });

/** The number by which a kernel multiplies, where there is one. */
export const alphaParam = ({ alpha }: Pick<Problem, 'alpha'>): Readonly<Record<string, Immediate>> =>
  alpha === 1 ? {} : { alpha: f32(alpha) };

/** Text of what is stored at an index: the same in WGSL and, `alpha` being an argument, in gpu.js. */
export const ended = ({ plus, scaled }: Ending, index: string, sum: string, alpha = 'p.alpha'): string =>
  plus ? `plus[${index}] + ${sum}` : scaled ? `${alpha} * ${sum}` : sum;
