import { elementwise } from '../elementwise.ts';
import type { Domain } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { affine, div, mul, mulScalar, square, sub } from './arithmetic.ts';

const positive: Domain = { kind: 'real', min: 0.25, max: 4 };

const expOp = elementwise('exp', 1, {
  wgsl: 'exp(x)',
  js: 'Math.exp(x)',
  vjp: (g, _, y) => [() => mul(g, y)],
});
/** eˣ. f32 [..] → f32 [..]. */
export const exp = (x: Tensor): Tensor => expOp([x]);

const logOp = elementwise('log', 1, {
  wgsl: 'log(x)',
  js: 'Math.log(x)',
  vjp: (g, [x]) => [() => div(g, x)],
  domains: [positive],
});
/** ln x. f32 [..] → f32 [..]. */
export const log = (x: Tensor): Tensor => logOp([x]);

const sqrtOp = elementwise('sqrt', 1, {
  wgsl: 'sqrt(x)',
  js: 'Math.sqrt(x)',
  vjp: (g, _, y) => [() => mulScalar(div(g, y), 0.5)],
  domains: [positive],
});
/** √x. f32 [..] → f32 [..]. */
export const sqrt = (x: Tensor): Tensor => sqrtOp([x]);

const rsqrtOp = elementwise('rsqrt', 1, {
  wgsl: 'inverseSqrt(x)',
  js: '1 / Math.sqrt(x)',
  vjp: (g, [x], y) => [() => mulScalar(mul(g, div(y, x)), -0.5)],
  domains: [positive],
});
/** 1/√x. f32 [..] → f32 [..]. */
export const rsqrt = (x: Tensor): Tensor => rsqrtOp([x]);

const tanhOp = elementwise('tanh', 1, {
  // NUMERICS: the built-in overflows beyond |x| ≈ 44 on some drivers; tanh is 1 in f32 from 10 on.
  wgsl: 'tanh(clamp(x, vec4f(-10.0), vec4f(10.0)))',
  js: 'Math.tanh(x)',
  vjp: (g, _, y) => [() => mul(g, affine(square(y), -1, 1))],
});
/** tanh x. f32 [..] → f32 [..]. */
export const tanh = (x: Tensor): Tensor => tanhOp([x]);

const sigmoidOp = elementwise('sigmoid', 1, {
  wgsl: '1.0 / (1.0 + exp(-x))',
  js: '1 / (1 + Math.exp(-x))',
  vjp: (g, _, y) => [() => mul(g, sub(y, square(y)))],
});
/** 1/(1 + e⁻ˣ). f32 [..] → f32 [..]. */
export const sigmoid = (x: Tensor): Tensor => sigmoidOp([x]);

const siluOp = elementwise('silu', 1, {
  wgsl: 'x / (1.0 + exp(-x))',
  js: 'x / (1 + Math.exp(-x))',
  vjp: (g, [x]) => [() => siluBackward(g, x)],
});
/** x·σ(x). f32 [..] → f32 [..]. */
export const silu = (x: Tensor): Tensor => siluOp([x]);

const siluBackwardOp = elementwise('siluBackward', 2, {
  wgsl: 'x * (1.0 + y * (1.0 - 1.0 / (1.0 + exp(-y)))) / (1.0 + exp(-y))',
  js: '(x * (1 + y * (1 - 1 / (1 + Math.exp(-y))))) / (1 + Math.exp(-y))',
  vjp: 'composed',
  composed: ([g, x]) => composedSiluBackward(g, x),
});
/** g·silu′(x), silu′ = σ·(1 + x·(1 − σ)). */
export const siluBackward = (g: Tensor, x: Tensor): Tensor => siluBackwardOp([g, x]);

function composedSiluBackward(g: Tensor, x: Tensor): Tensor {
  const s = sigmoid(x);
  return mul(g, mul(s, affine(mul(x, affine(s, -1, 1)), 1, 1)));
}

const absOp = elementwise('abs', 1, {
  wgsl: 'abs(x)',
  js: 'Math.abs(x)',
  vjp: (g, [x]) => [() => mul(g, sign(x))],
});
/** |x|. f32 [..] → f32 [..]. */
export const abs = (x: Tensor): Tensor => absOp([x]);

const signOp = elementwise('sign', 1, {
  wgsl: 'sign(x)',
  js: 'x > 0 ? 1 : x < 0 ? -1 : 0',
  vjp: (g) => [() => mulScalar(g, 0)],
});
/** −1, 0 or 1; its gradient is 0. f32 [..] → f32 [..]. */
export const sign = (x: Tensor): Tensor => signOp([x]);
