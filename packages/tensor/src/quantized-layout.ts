import { ShapeError } from './errors.ts';

/** Element types that are codes, with scales behind them in the same buffer. */
export type QuantizedDType = 'int8' | 'nf4';

/** Numbers in a row-major run that share a scale in nf4. */
export const nf4Block = 64;
/** Scales of nf4 that share a second one. */
export const nf4Group = 256;
/** Values that the code of a scale may stand for. */
export const scaleValues = 256;

/**
 * Where the parts of a quantized tensor lie in its buffer, which begins with the codes: in words of four
 * bytes, as the kernels' params have it.
 */
export interface QuantizedLayout {
  /** int8: f32, one a row. nf4: 256 values of scale codes, their mean, the codes of the blocks' scales. */
  readonly scales: number;
  /** nf4: f32, one for 256 blocks. int8: none. */
  readonly groups: number;
  /** Of all. */
  readonly words: number;
}

/** The layout of `count` elements in rows of `columns`. Throws ShapeError for rows that are not whole eights. */
export function quantizedLayout(
  dtype: QuantizedDType,
  count: number,
  columns: number | undefined,
): QuantizedLayout {
  if (columns === undefined || columns % 8 !== 0)
    throw new ShapeError(`${dtype}: needs rows of a multiple of 8 elements, got ${columns ?? 'a scalar'}`);
  if (dtype === 'int8') {
    const scales = count / 4;
    const words = scales + (columns === 0 ? 0 : count / columns);
    return { scales, groups: words, words };
  }
  const blocks = Math.ceil(count / nf4Block);
  const scales = count / 8;
  const groups = scales + scaleValues + 1 + Math.ceil(blocks / 4);
  return { scales, groups, words: groups + Math.ceil(blocks / nf4Group) };
}
