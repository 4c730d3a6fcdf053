import { ShapeError } from '../errors.ts';
import type { Expr } from '../expr.ts';
import { known } from '../op.ts';
import { rowwise } from '../rowwise.ts';
import { show } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { neg } from './arithmetic.ts';
import { equal, less, where } from './comparison.ts';
import { columnOf, rowMax } from './rows.ts';

/** The longest row whose places f32 counts exactly. */
const maxRow = 2 ** 24;

/** The place of the largest in a row, the first of several; some place where a number is NaN. */
export function largestPlace(x: Expr): Expr {
  const hits = where(equal(x, rowMax(x)), neg(columnOf(x)), -maxRow);
  const place = neg(rowMax(hits));
  // A NaN may be the largest by a backend's rule and equals nothing: then it is the first place.
  return where(less(place, maxRow), place, 0);
}

const argmaxOp = rowwise('argmax', ['row'], largestPlace, {
  result: 'i32',
  vjp: null,
  samples: [{ x: [2, 70] }, { x: [4, 200] }],
  known: [known('[[1, 3, 3], [-1, -2, -3]]', [1, 0])],
});

/**
 * Place of the largest along the last axis, the first of several; it has no gradient. In a row with a NaN it
 * is some place of that row. f32 [.., n] → i32 [..].
 * Throws ShapeError for n = 0 or n > 2²⁴.
 */
export function argmax(x: Tensor): Tensor {
  requireCountable('argmax', x);
  return argmaxOp(x);
}

/** Throws ShapeError, for the function `name`, where places in x's rows are more than f32 counts. */
export function requireCountable(name: string, x: Tensor): void {
  if ((x.shape.at(-1) ?? 0) > maxRow)
    throw new ShapeError(`${name}: takes rows of up to ${maxRow}, got ${show(x)}`);
}
