import { elementwise } from '../elementwise.ts';
import * as scalar from '../expr.ts';
import type { Domain } from '../op.ts';
import { mul } from './arithmetic.ts';

const positive: Domain = { kind: 'real', min: 0.25, max: 4 };

/** eˣ. f32 [..] → f32 [..]. */
export const exp = elementwise('exp', (x) => scalar.call(scalar.exp, x));

/** ln x. f32 [..] → f32 [..]. */
export const log = elementwise('log', (x) => scalar.call(scalar.log, x), { domains: [positive] });

/** √x. f32 [..] → f32 [..]. */
export const sqrt = elementwise('sqrt', (x) => scalar.call(scalar.sqrt, x), { domains: [positive] });

/** 1/√x. f32 [..] → f32 [..]. */
export const rsqrt = elementwise('rsqrt', (x) => scalar.call(scalar.rsqrt, x), { domains: [positive] });

/** x to the power y, for x > 0. f32 [..], [..] → f32 [broadcast]. */
export const pow = elementwise('pow', (x, y) => scalar.call(scalar.pow, x, y), {
  domains: [positive],
  tolerance: 4e-5,
});

/** tanh x. f32 [..] → f32 [..]. */
export const tanh = elementwise('tanh', (x) => scalar.call(scalar.tanh, x));

/** 1/(1 + e⁻ˣ). f32 [..] → f32 [..]. */
export const sigmoid = elementwise('sigmoid', (x) => scalar.call(scalar.sigmoid, x));

/** x·σ(x). f32 [..] → f32 [..]. */
export const silu = elementwise('silu', (x) => mul(x, sigmoid(x)));

/** silu(gate)∘up. f32 [..], [..] → f32 [..]. Shazeer 2020, "GLU Variants Improve Transformer", eq. 6. */
export const swiglu = elementwise('swiglu', (gate, up) => mul(silu(gate), up));

/** |x|. f32 [..] → f32 [..]. */
export const abs = elementwise('abs', (x) => scalar.call(scalar.abs, x));

/** −1, 0 or 1; its gradient is 0. f32 [..] → f32 [..]. */
export const sign = elementwise('sign', (x) => scalar.call(scalar.sign, x));
