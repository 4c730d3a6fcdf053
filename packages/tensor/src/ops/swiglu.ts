import { elementwise } from '../elementwise.ts';
import type { Tensor } from '../tensor.ts';
import { mul } from './arithmetic.ts';
import { silu, siluBackward } from './functions.ts';

const swigluOp = elementwise('swiglu', 2, {
  wgsl: 'x / (1.0 + exp(-x)) * y',
  js: '(x / (1 + Math.exp(-x))) * y',
  vjp: (g, [gate, up]) => [() => siluBackward(mul(g, up), gate), () => mul(g, silu(gate))],
  composed: ([gate, up]) => mul(silu(gate), up),
});
/** silu(gate)∘up. f32 [..], [..] → f32 [..]. Shazeer 2020, "GLU Variants Improve Transformer", eq. 6. */
export const swiglu = (gate: Tensor, up: Tensor): Tensor => swigluOp([gate, up]);
