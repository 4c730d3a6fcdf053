import type { Spec } from '../../../shape.ts';
import type { WasmKernel } from '../../../wasm/index.ts';
import type { Problem } from '../problem.ts';
import { dotsKernel } from './dots.ts';
import { inPlaceKernel } from './in-place.ts';
import { panelsKernel } from './panels.ts';

/** So few rows that copying b costs more than reading it as it lies. */
const few = 8;

/** The kernel for a product on the CPU engine. */
export function productKernel(p: Problem, inputs: readonly Spec[], output: Spec): WasmKernel {
  const force = process.env.FORCE;
  if (force) return panelsKernel(p, inputs, output);
  if (p.m > few || (p.transposeA && p.transposeB)) return panelsKernel(p, inputs, output);
  return p.transposeB ? dotsKernel(p, inputs, output) : inPlaceKernel(p, inputs, output);
}
