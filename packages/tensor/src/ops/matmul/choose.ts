import type { Kernel } from '../../kernel-record.ts';
import type { WgslDevice } from '../../op.ts';
import { broadcastKernel } from './broadcast.ts';
import { cellKernel } from './cell.ts';
import { dotKernel } from './dot.ts';
import type { Problem } from './problem.ts';
import { tileKernel } from './tile.ts';

/** The kernels there are for a product; each computes every shape it is said to take. */
export type Body = 'broadcast' | 'tile' | 'dot' | 'cell';

/** Fewer rows or columns than this leave most of the smallest tile (64 × 64) empty. */
const skinny = 16;
/** Steps along k from which lanes share a dot product. */
const longDot = 64;

/** True where a body can compute the product on the device. */
export function canRun(body: Body, device: WgslDevice, p: Problem): boolean {
  if (body === 'broadcast') return device.subgroupSize > 0 && device.subgroupSize % 8 === 0;
  return body !== 'dot' || (!p.transposeA && p.transposeB);
}

/**
 * The body for a device and a product. On software Vulkan with subgroups of 8 no other body beat `broadcast`
 * at any shape measured: level at 8 × 8, ahead by 1.1 to 3 for a single row or column, by 4 or more from 4
 * rows of 8 columns on. Elsewhere: tiles in workgroup memory, and for outputs of few rows or columns dot
 * products, or one thread a cell where k is short or not contiguous; those thresholds are reasoned, not
 * measured.
 */
export function choose(device: WgslDevice, p: Problem): Body {
  if (device.software && canRun('broadcast', device, p)) return 'broadcast';
  if (Math.min(p.m, p.n) >= skinny) return 'tile';
  return p.k >= longDot && canRun('dot', device, p) ? 'dot' : 'cell';
}

/** The kernel of one body for a product. */
export function kernelOf(body: Body, device: WgslDevice, p: Problem): Kernel {
  switch (body) {
    case 'broadcast':
      return broadcastKernel(p, device.subgroupSize);
    case 'tile':
      return tileKernel(p);
    case 'dot':
      return dotKernel(p, device);
    case 'cell':
      return cellKernel(p);
  }
}
