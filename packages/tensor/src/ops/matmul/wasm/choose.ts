import type { Spec } from '../../../shape.ts';
import type { WasmKernel } from '../../../wasm/index.ts';
import type { Problem } from '../problem.ts';
import { dotsKernel } from './dots.ts';
import { inPlaceKernel } from './in-place.ts';
import { panelsKernel } from './panels.ts';
import { scaledKernel } from './scaled.ts';

/** The kernels for a product on the CPU engine, one after the other. */
export function productKernels(p: Problem, inputs: readonly Spec[], output: Spec): readonly WasmKernel[] {
  const product = productKernel(p, inputs, output);
  return p.alpha === 1 ? [product] : [product, scaledKernel(p.alpha, inputs, output)];
}

/**
 * The kernel for a product on the CPU engine. For few rows, copying b costs more than reading it as it lies:
 * measured up to 2 rows where k lies along its rows, up to 8 where it does not and nothing is to be widened.
 */
function productKernel(p: Problem, inputs: readonly Spec[], output: Spec): WasmKernel {
  if (p.m <= 2 && !p.transposeA && p.transposeB) return dotsKernel(p, inputs, output);
  const f32 = p.typeA === 'f32' && p.typeB === 'f32';
  return (p.m <= 8 && !p.transposeB && f32 ? inPlaceKernel : panelsKernel)(p, inputs, output);
}
