import { known } from '../op.ts';
import { rowwise } from '../rowwise.ts';
import type { Tensor } from '../tensor.ts';
import { add, div, mul, sub } from './arithmetic.ts';
import { exp, log } from './functions.ts';
import { reshape } from './reshape.ts';
import { rowMax, rowSum } from './rows.ts';

/** scale·y·(g − ⟨g, y⟩) along the last axis: the gradient of softmax(scale·x) = y. */
const softmaxBackward = rowwise(
  'softmaxBackward',
  ['row', 'row', 'number'],
  (g, y, scale) => mul(mul(scale, y), sub(g, rowSum(mul(g, y)))),
  { numbers: [0.5] },
);

const scaledSoftmax = rowwise(
  'softmax',
  ['row', 'number'],
  (x, scale) => {
    const scaled = mul(scale, x);
    const e = exp(sub(scaled, rowMax(scaled)));
    return mul(e, div(1, rowSum(e)));
  },
  {
    prefix: true,
    vjp: ([g], _, [y], { numbers: [scale] }) => [() => softmaxBackward(g, y, scale)],
    numbers: [0.5],
    samples: [
      { x: [2, 6, 6], attrs: { numbers: [0.7], period: 3 } },
      { x: [2, 2, 9], attrs: { numbers: [1], period: 2, offset: 7 } },
    ],
    known: [
      known('[[3, 3]]', [0.5, 0.5], { numbers: [1] }),
      known('[[1, 9], [4, 4]]', [1, 0, 0.5, 0.5], { numbers: [1], period: 2 }),
    ],
  },
);

/** e^x / Σ e^x along the last axis. f32 [.., n] → f32 [.., n]. */
export const softmax = (x: Tensor): Tensor => scaledSoftmax(x, 1);

/**
 * softmax(scale·x) along the last axis, in which query i sees keys 0 … offset + i; weights of unseen keys are
 * 0. f32 [.., g·t, s] → the same, where the rows are `queries` = t positions, repeated for each head of a
 * group.
 */
export const causalSoftmax = (
  x: Tensor,
  { scale, queries, offset }: { scale: number; queries: number; offset: number },
): Tensor => scaledSoftmax(x, scale, { period: queries, offset });

/** ln Σ e^x along the last axis. f32 [.., n] → f32 [..]. */
export const logSumExp = rowwise(
  'logSumExp',
  ['row'],
  (x) => {
    const top = rowMax(x);
    return add(top, log(rowSum(exp(sub(x, top)))));
  },
  { vjp: ([g], [x]) => [() => mul(softmax(x), reshape(g, [...g.shape, 1]))] },
);

/** x − ln Σ e^x along the last axis. f32 [.., n] → f32 [.., n]. */
export const logSoftmax = rowwise(
  'logSoftmax',
  ['row'],
  (x) => {
    const top = rowMax(x);
    return sub(x, add(top, log(rowSum(exp(sub(x, top))))));
  },
  {
    vjp: ([g], _, [y]) => [() => sub(g, mul(exp(y), rowSum(g)))],
    known: [known('[[5]]', [0])],
  },
);
