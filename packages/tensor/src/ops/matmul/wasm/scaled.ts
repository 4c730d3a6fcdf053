import { f32 } from '../../../kernel-record.ts';
import { type Spec, size } from '../../../shape.ts';
import { element, f32x4, i32, v128, type WasmKernel, wasmKernel } from '../../../wasm/index.ts';
import { inputsOf } from './elements.ts';

/** A product that has been computed, times a number; items are four elements each. */
export function scaledKernel(alpha: number, [a, b, plus]: readonly Spec[], c: Spec): WasmKernel {
  return wasmKernel({
    name: 'scaled product',
    in: inputsOf(a, b, plus),
    out: { c },
    params: { alpha: f32(alpha) },
    items: Math.ceil(size(c.shape) / 4),
    cost: 1,
    body(w, { c, alpha }) {
      const alphas = w.let(f32x4.splat(alpha));
      w.range(w.from, w.to, 1, (four) => {
        const at = w.let(element(c, i32.shl(four, 2)));
        w.store(at, f32x4.mul(alphas, v128.load(at)));
      });
    },
  });
}
