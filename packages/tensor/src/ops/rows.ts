import { call, column, count, div, Expr, reduced } from '../expr.ts';
import { arange, type Tensor } from '../tensor.ts';
import { mul } from './arithmetic.ts';
import { max } from './max.ts';
import { sum } from './sum.ts';

// What row programs are written with. On tensors they reduce the last axis and keep it as an axis of 1.

const along = { axes: [-1], keepDims: true };

interface RowFunction {
  (x: Expr): Expr;
  (x: Tensor): Tensor;
}

/** Σ over the last axis. f32 [.., n] → f32 [.., 1]. */
export const rowSum = ((x: Tensor | Expr) =>
  x instanceof Expr ? reduced('rowSum', x) : sum(x, along)) as RowFunction;

/** The largest along the last axis. f32 [.., n] → f32 [.., 1]. */
export const rowMax = ((x: Tensor | Expr) =>
  x instanceof Expr ? reduced('rowMax', x) : max(x, along)) as RowFunction;

/** Σ/n over the last axis. f32 [.., n] → f32 [.., 1]. */
export const rowMean = ((x: Tensor | Expr) =>
  x instanceof Expr
    ? call(div, reduced('rowSum', x), count)
    : mul(sum(x, along), 1 / x.shape.at(-1)!)) as RowFunction;

/** n, the numbers that a row has: of a tensor the length of its last axis. */
export const countOf = ((x: Tensor | Expr) => (x instanceof Expr ? count : x.shape.at(-1)!)) as {
  (x: Expr): Expr;
  (x: Tensor): number;
};

/** 0 … n − 1 along the last axis: the place of each element in its row. f32 [.., n] → f32 [n]. */
export const columnOf = ((x: Tensor | Expr) =>
  x instanceof Expr ? column : arange(x.backend, x.shape.at(-1)!)) as RowFunction;
