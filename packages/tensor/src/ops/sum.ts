import { ShapeError } from '../errors.ts';
import { operand, reduced } from '../expr.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { reductionOp } from '../reduction.ts';
import { axisIndex, broadcastShapes, type Shape, sameShape, show, size } from '../shape.ts';
import { broadcastView, checkStrided, stridedHost, stridedWasm, stridedWgsl } from '../strided.ts';
import { apply, type Tensor } from '../tensor.ts';
import { reshape } from './reshape.ts';

// Summing over axes and broadcasting along them are each other's adjoint, so they live together.

const sumOp = reductionOp('sum', reduced('rowSum', operand(0)), {
  vjp: ([g], [x]) => [() => broadcastTo(reshape(g, [x.shape[0], 1, x.shape[2]]), x.shape)],
  known: [known('[[[1], [2]], [[3], [4]]]', [3, 7], {}), known('[[[1, 2], [3, 4]]]', [4, 6], {})],
});

interface BroadcastAttrs {
  readonly shape: Shape;
}

const broadcastOp: KernelOp<BroadcastAttrs> = defineOp({
  kind: 'kernel',
  name: 'broadcast',
  infer([x], { shape }) {
    if (!sameShape(broadcastShapes('broadcast', [x, { shape, dtype: x.dtype }]), shape)) {
      throw new ShapeError(`broadcast: ${show(x)} does not stretch to [${shape.join(', ')}]`);
    }
    checkStrided('broadcast', x, shape);
    return { shape, dtype: x.dtype };
  },
  wgsl: ([x], [output]) => stridedWgsl('broadcast', x, output, broadcastView(x.shape, output.shape)),
  host: ([x], [output]) => stridedHost(output, broadcastView(x.shape, output.shape)),
  wasm: ([x], [output]) => stridedWasm('broadcast', x, output, broadcastView(x.shape, output.shape)),
  vjp: ([g], [x]) => [() => sumTo(g, x.shape)],
  samples: [
    sample('[]', { shape: [3] }),
    sample('[3, 1, 2]', { shape: [2, 3, 4, 2] }),
    sample('[5, 1]', { shape: [5, 7] }),
    sample('[5, 1]', { shape: [5, 8] }),
    sample('[2, 1, 8]', { shape: [2, 3, 8] }),
  ],
  known: [known('[[1], [2]]', [1, 1, 1, 2, 2, 2], { shape: [2, 3] })],
});

/** [..] stretched to `shape` as NumPy broadcasting does, copied. Throws ShapeError where it does not fit. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply(broadcastOp, [x], { shape });
}

/** The adjoint of broadcastTo: f32 [..] summed down to `shape`. */
export function sumTo(g: Tensor, shape: Shape): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const lead = g.shape.length - shape.length;
  const axes = g.shape
    .map((_, i) => i)
    .filter((i) => i < lead || (shape[i - lead] === 1 && g.shape[i] !== 1));
  return reshape(sum(g, { axes }), shape);
}

export interface ReduceOptions {
  /** Axes to reduce; negative ones count from the end. Left out: all. */
  readonly axes?: readonly number[];
  /** Keep reduced axes as axes of 1. */
  readonly keepDims?: boolean;
}

/** Σ over the axes. f32 [..] → f32 [..]. Throws ShapeError for an axis that is not there. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduceRuns('sum', x, options, (block) => {
    const [outer, n, inner] = block.shape;
    const pieces = inner === 1 ? pieceCount(outer, n) : 1;
    if (pieces === 1) return apply(sumOp, [block], {});
    const partial = apply(sumOp, [reshape(block, [outer * pieces, n / pieces, 1])], {});
    return apply(sumOp, [reshape(partial, [outer, pieces, 1])], {});
  });
}

/** Into how many equal pieces a long row is cut first, so that more than `rows` workgroups have work. */
function pieceCount(rows: number, n: number): number {
  if (n < 4096 || rows >= 64) return 1;
  for (let pieces = Math.floor(Math.sqrt(n)); pieces > 1; pieces--) if (n % pieces === 0) return pieces;
  return 1;
}

/**
 * Reduces any axes with a function that reduces the middle one of [outer, n, inner] to [outer, inner]:
 * each run of neighbouring axes at once, the last run first.
 */
export function reduceRuns(
  name: string,
  x: Tensor,
  { axes, keepDims = false }: ReduceOptions,
  middle: (block: Tensor) => Tensor,
): Tensor {
  const reduced = new Set((axes ?? x.shape.map((_, i) => i)).map((a) => axisIndex(name, x.shape, a)));
  const shape = [...x.shape];
  let result = x;
  for (let last = shape.length - 1; last >= 0; last--) {
    if (!reduced.has(last)) continue;
    let first = last;
    while (reduced.has(first - 1)) first--;
    const block = [shape.slice(0, first), shape.slice(first, last + 1), shape.slice(last + 1)].map(size);
    result = middle(reshape(result, block));
    shape.fill(1, first, last + 1);
    last = first;
  }
  return reshape(result, keepDims ? shape : shape.filter((_, i) => !reduced.has(i)));
}
