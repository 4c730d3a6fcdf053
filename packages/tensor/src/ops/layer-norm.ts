import type { Expr } from '../expr.ts';
import { known } from '../op.ts';
import { rowwise } from '../rowwise.ts';
import type { Tensor } from '../tensor.ts';
import { add, mul, square, sub } from './arithmetic.ts';
import { rsqrt } from './functions.ts';
import { rowMean } from './rows.ts';
import { sumTo } from './sum.ts';

const centred = ((x: Expr) => sub(x, rowMean(x))) as unknown as {
  (x: Expr): Expr;
  (x: Tensor): Tensor;
};

/** 1/√(var x + eps) of each row, from its elements less their mean. */
const inverseDeviation = ((c: Expr, eps: Expr) => rsqrt(add(rowMean(square(c)), eps))) as unknown as {
  (c: Expr, eps: Expr): Expr;
  (c: Tensor, eps: number): Tensor;
};

/** x̂ = (x − mean x) / √(var x + eps). */
const standardized = (x: Tensor, eps: number): Tensor => {
  const c = centred(x);
  return mul(c, inverseDeviation(c, eps));
};

/** d/dx of layerNorm: r·(h − mean h − x̂·mean(h∘x̂)) with h = g∘w and r = 1/√(var x + eps). */
const layerNormBackward = rowwise(
  'layerNormBackward',
  ['row', 'row', 'column', 'number'],
  (g, x, weight, eps) => {
    const c = centred(x);
    const r = inverseDeviation(c, eps);
    const h = mul(g, weight);
    const pull = mul(rowMean(mul(h, c)), mul(r, r));
    return mul(r, sub(sub(h, rowMean(h)), mul(c, pull)));
  },
  { numbers: [1e-2] },
);

/**
 * w∘(x − mean x) / √(var x + eps) + b along the last axis, var x = mean (x − mean x)². x f32 [.., e], weight
 * and bias f32 [e] → f32 [.., e]; eps keeps a constant row finite. Ba, Kiros & Hinton 2016, "Layer
 * Normalization", eq. 4.
 */
export const layerNorm = rowwise(
  'layerNorm',
  ['row', 'column', 'column', 'number'],
  (x, weight, bias, eps) => {
    const c = centred(x);
    return add(mul(mul(c, inverseDeviation(c, eps)), weight), bias);
  },
  {
    vjp: ([g], [x, weight, bias], _, { numbers: [eps] }) => [
      () => layerNormBackward(g, x, weight, eps),
      () => sumTo(mul(g, standardized(x, eps)), weight.shape),
      () => sumTo(g, bias.shape),
    ],
    numbers: [1e-5],
    samples: [{ x: [3, 7], attrs: { numbers: [1e-2] } }],
    known: [known('[[1, 3]] [1, 2] [5, 7]', [4, 9], { numbers: [0] })],
  },
);
