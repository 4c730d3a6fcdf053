import type { Expr } from '../expr.ts';
import { adding, known } from '../op.ts';
import { rowwise, rowwiseAll } from '../rowwise.ts';
import { Donated, type Tensor } from '../tensor.ts';
import { add, mul, square, sub } from './arithmetic.ts';
import { rsqrt } from './functions.ts';
import { rowMean } from './rows.ts';
import { sumTo } from './sum.ts';

/** 1/√(mean x² + eps) of each row. */
const inverseRms = ((x: Expr, eps: Expr) => rsqrt(add(rowMean(square(x)), eps))) as unknown as {
  (x: Expr, eps: Expr): Expr;
  (x: Tensor, eps: number): Tensor;
};

/** d/dx of rmsNorm: r·(g∘w) − x·r³·mean(g∘w∘x) with r = 1/√(mean x² + eps). */
function normGradient(g: Expr, x: Expr, weight: Expr, eps: Expr): Expr {
  const r = inverseRms(x, eps);
  const pull = mul(rowMean(mul(mul(g, weight), x)), mul(r, mul(r, r)));
  return sub(mul(mul(r, g), weight), mul(pull, x));
}

const rmsNormBackward = rowwise('rmsNormBackward', ['row', 'row', 'column', 'number'], normGradient, {
  numbers: [1e-2],
});

/**
 * w∘x / √(mean x² + eps) along the last axis. x f32 [.., e], weight f32 [e] → f32 [.., e]; eps keeps a zero
 * row finite. Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", eq. 4.
 */
export const rmsNorm = rowwise(
  'rmsNorm',
  ['row', 'column', 'number'],
  (x, weight, eps) => mul(mul(x, inverseRms(x, eps)), weight),
  {
    vjp: ([g], [x, weight], _, { numbers: [eps] }) => [
      adding((sum) => {
        if (!sum) return rmsNormBackward(g, x, weight, eps);
        return addRmsNormBackward(sum instanceof Donated ? sum.tensor : sum, g, x, weight, eps);
      }),
      () => sumTo(mul(g, mul(x, inverseRms(x, eps))), weight.shape),
    ],
    numbers: [1e-5],
    samples: [{ x: [3, 7], attrs: { numbers: [1e-2] } }],
    known: [known('[[3, 3]] [1, 2]', [1, 2], { numbers: [0] })],
  },
);

/** The gradient of addRmsNorm in x and in y, from those of their sum h and of its norm. */
const addRmsNormBackward = rowwise(
  'addRmsNormBackward',
  ['row', 'row', 'row', 'column', 'number'],
  (gh, gn, h, weight, eps) => add(gh, normGradient(gn, h, weight, eps)),
  { numbers: [1e-2] },
);

const addRmsNormAll = rowwiseAll(
  'addRmsNorm',
  ['row', 'row', 'column', 'number'],
  (x, y, weight, eps) => {
    const h = add(x, y);
    return [h, mul(mul(h, inverseRms(h, eps)), weight)];
  },
  {
    vjp: ([gh, gn], [, , weight], [h], { numbers: [eps] }) => {
      let both: Tensor | undefined;
      const gradient = () => {
        both ??= addRmsNormBackward(gh, gn, h, weight, eps);
        return both;
      };
      return [gradient, gradient, () => sumTo(mul(gn, mul(h, inverseRms(h, eps))), weight.shape)];
    },
    numbers: [1e-5],
  },
);

/**
 * h = x + y and rmsNorm(h, weight, eps) in one kernel: a residual sum and the norm behind it.
 * x, y f32 [.., e], weight f32 [e] → two f32 [.., e].
 */
export const addRmsNorm = (x: Tensor, y: Tensor, weight: Tensor, eps: number): [h: Tensor, normed: Tensor] =>
  addRmsNormAll(x, y, weight, eps) as [Tensor, Tensor];
