import { elementwise } from '../elementwise.ts';
import * as scalar from '../expr.ts';
import { add, div, mul, sub } from './arithmetic.ts';
import { less, minimum, where } from './comparison.ts';
import { abs, exp, tanh } from './functions.ts';

/**
 * ln(erfc(k) / t) + k² with t = 2 / (2 + k), as a polynomial in (8t − 5) / 3 on 0 ≤ k ≤ 6: interpolated at
 * Chebyshev's nodes, to 4e−12.
 */
const tail = [
  -0.5014367259211941, 0.5153126870907927, 0.005570761964271393, -0.02152364506725044, 0.0004935321195191464,
  0.0020287923262104685, -0.00033022439997511027, -0.00019508177663202128, 8.14919094009413e-5,
  9.362579724036108e-6, -1.3657882552000058e-5, 1.6584054767012277e-6, 1.4916571552207958e-6,
  -3.675107532912534e-7, -7.549787800588051e-8,
];

/** erf x = ±(1 − erfc |x|), which is ±1 in f64 from 6 on. */
function erfSeries(x: scalar.Expr): scalar.Expr {
  const k = minimum(abs(x), 6);
  const t = div(2, add(2, k));
  const s = sub(mul(8 / 3, t), 5 / 3);
  const logarithm = tail.map(scalar.constant).reduceRight((sum, c) => add(mul(sum, s), c));
  const positive = sub(1, mul(t, exp(sub(logarithm, mul(k, k)))));
  return where(less(x, 0), sub(0, positive), positive);
}

/** The value of its second argument; the derivative in its first is that of erf, 2/√π·e^(−x²). */
const valueOfErf: scalar.Primitive = {
  name: 'erf',
  wgsl: ([, value]) => value,
  js: (_, value) => value,
  wasm: ([, value]) => value,
  gradients: (g, [x]) => [
    // NUMERICS: WGSL may assume that there are no infinities; e^(−80) is 0 beside 1.
    mul(mul(g, 2 / Math.sqrt(Math.PI)), exp(sub(0, minimum(mul(x, x), 80)))),
    null,
  ],
};

/** 2/√π·∫₀ˣ e^(−u²) du, to 3e−7. f32 [..] → f32 [..]. */
export const erf = elementwise('erf', (x) => scalar.call(valueOfErf, x, erfSeries(x)), {
  known: [['[0, 0.5, -1, 2, 9]', [0, 0.5204998778, -0.8427007929, 0.995322265, 1]]],
});

/** x·Φ(x) = x·(1 + erf(x/√2)) / 2. f32 [..] → f32 [..]. Hendrycks & Gimpel 2016, "Gaussian Error Linear Units". */
export const gelu = elementwise('gelu', (x) => mul(mul(x, 0.5), add(1, erf(mul(x, Math.SQRT1_2)))), {
  known: [['[0, 1, -1, 3, -9]', [0, 0.8413447461, -0.1586552539, 2.9959503063, 0]]],
});

/** x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2, the same work's approximation of it. f32 [..] → f32 [..]. */
export const geluTanh = elementwise(
  'geluTanh',
  (x) => {
    const inner = mul(Math.sqrt(2 / Math.PI), add(x, mul(0.044715, mul(x, mul(x, x)))));
    return mul(mul(x, 0.5), add(1, tanh(inner)));
  },
  { known: [['[0, 1, -1, 3, -9]', [0, 0.8411919906, -0.1588080094, 2.9963627038, 0]]] },
);

/** gelu(gate)∘up. f32 [..], [..] → f32 [..]. Shazeer 2020, "GLU Variants Improve Transformer", eq. 6. */
export const geglu = elementwise('geglu', (gate, up) => mul(gelu(gate), up));

/** geluTanh(gate)∘up. f32 [..], [..] → f32 [..]. */
export const gegluTanh = elementwise('gegluTanh', (gate, up) => mul(geluTanh(gate), up));
