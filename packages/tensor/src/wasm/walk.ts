import type { KernelBody } from '../wasm-kernel.ts';
import type { Local } from './body.ts';
import { type I32, i32 } from './values.ts';

/** An axis of a walk: how many places it has, and by how much each position moves from one to the next. */
export interface Axis {
  readonly size: I32;
  readonly steps: readonly I32[];
}

/**
 * The statements for each item of the kernel, its items being the places of row-major axes, outermost first.
 * `positions` hold where place 0 is; at a place they are Σ indexₖ·stepₖ further. It divides once: the rest is adding.
 */
export function walk(
  w: KernelBody,
  axes: readonly Axis[],
  positions: readonly Local<'i32'>[],
  statements: (index: readonly I32[]) => void,
): void {
  const index = axes.map(() => w.local('i32'));
  const move = (by: (steps: I32) => I32, k: number) =>
    positions.forEach((position, j) => {
      w.set(position, i32.add(position, by(axes[k].steps[j])));
    });
  const rest = w.let<'i32'>(w.from);
  for (let k = axes.length - 1; k >= 0; k--) {
    w.set(index[k], i32.remU(rest, axes[k].size));
    w.set(rest, i32.divU(rest, axes[k].size));
    move((step) => i32.mul(index[k], step), k);
  }
  const next = (k: number): void => {
    if (k < 0) return;
    w.set(index[k], i32.add(index[k], 1));
    move((step) => step, k);
    w.if(i32.eq(index[k], axes[k].size), () => {
      move((step) => i32.sub(0, i32.mul(index[k], step)), k);
      w.set(index[k], i32.const(0));
      next(k - 1);
    });
  };
  w.range(w.from, w.to, 1, () => {
    statements(index);
    next(axes.length - 1);
  });
}
