import type { Expr } from '../expr.ts';
import { rowwise } from '../rowwise.ts';
import type { Tensor } from '../tensor.ts';
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
const rmsNormBackward = rowwise(
  'rmsNormBackward',
  ['row', 'row', 'column', 'number'],
  (g, x, weight, eps) => {
    const r = inverseRms(x, eps);
    const pull = mul(rowMean(mul(mul(g, weight), x)), mul(r, mul(r, r)));
    return sub(mul(mul(r, g), weight), mul(pull, x));
  },
  { numbers: [1e-2] },
);

/**
 * w∘x / √(mean x² + eps) along the last axis. x f32 [.., e], weight f32 [e] → f32 [.., e]; eps keeps a zero row
 * finite. Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", eq. 4.
 */
export const rmsNorm = rowwise(
  'rmsNorm',
  ['row', 'column', 'number'],
  (x, weight, eps) => mul(mul(x, inverseRms(x, eps)), weight),
  {
    vjp: ([g], [x, weight], _, { numbers: [eps] }) => [
      () => rmsNormBackward(g, x, weight, eps),
      () => sumTo(mul(g, mul(x, inverseRms(x, eps))), weight.shape),
    ],
    numbers: [1e-5],
    samples: [{ x: [3, 7], attrs: { numbers: [1e-2] } }],
    known: [
      {
        inputs: [
          { shape: [1, 2], data: [3, 3] },
          { shape: [2], data: [1, 2] },
        ],
        attrs: { numbers: [0] },
        output: [1, 2],
      },
    ],
  },
);
