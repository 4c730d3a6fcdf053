import { ShapeError } from '../errors.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { type Shape, show, strides } from '../shape.ts';
import { checkStrided, type StridedView, stridedHost, stridedWasm, stridedWgsl } from '../strided.ts';
import { apply, type Tensor } from '../tensor.ts';

interface PermuteAttrs {
  readonly axes: readonly number[];
}

function permutedView(shape: Shape, axes: readonly number[]): StridedView {
  const steps = strides(shape);
  return { offset: 0, strides: axes.map((axis) => steps[axis]) };
}

const permuteOp: KernelOp<PermuteAttrs> = defineOp({
  kind: 'kernel',
  name: 'permute',
  infer([x], { axes }) {
    const every = x.shape.every((_, axis) => axes.includes(axis));
    if (!every || axes.length !== x.shape.length) {
      throw new ShapeError(`permute: needs each axis of ${show(x)} once, got [${axes.join(', ')}]`);
    }
    const shape = axes.map((axis) => x.shape[axis]);
    checkStrided('permute', x, shape);
    return { shape, dtype: x.dtype };
  },
  wgsl: ([x], [output], { axes }) => stridedWgsl('permute', x, output, permutedView(x.shape, axes)),
  host: ([x], [output], { axes }) => stridedHost(output, permutedView(x.shape, axes)),
  wasm: ([x], [output], { axes }) => stridedWasm('permute', x, output, permutedView(x.shape, axes)),
  vjp: ([g], _inputs, _outputs, { axes }) => [
    () =>
      permute(
        g,
        axes.map((_, i) => axes.indexOf(i)),
      ),
  ],
  samples: [
    sample('[3, 5]', { axes: [1, 0] }),
    sample('[4, 6]', { axes: [1, 0] }),
    sample('[2, 3, 4]', { axes: [2, 0, 1] }),
    sample('[2, 3, 2, 8]', { axes: [0, 2, 1, 3] }),
    sample('[2, 1, 3, 2, 1, 2]', { axes: [5, 3, 1, 0, 4, 2] }),
  ],
  known: [known('[[1, 2, 3], [4, 5, 6]]', [1, 4, 2, 5, 3, 6], { axes: [1, 0] })],
});

/**
 * Axis i of the result is axis axes[i] of x, copied. f32, i32 or u32 [..], at most 6 axes → [..].
 * Throws ShapeError when axes is not a permutation.
 */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  const same = axes.length === x.shape.length && axes.every((axis, i) => axis === i);
  return same ? x : apply(permuteOp, [x], { axes });
}

/** The last two axes exchanged. f32, i32 or u32 [.., m, n] → [.., n, m]. Throws ShapeError for fewer axes. */
export function transpose(x: Tensor): Tensor {
  const rank = x.shape.length;
  if (rank < 2) throw new ShapeError(`transpose: needs two axes or more, got ${show(x)}`);
  return permute(
    x,
    x.shape.map((_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i)),
  );
}
