import { ShapeError } from '../errors.ts';
import { defineOp, known, sample, type ViewOp } from '../op.ts';
import { isQuantized } from '../quantized.ts';
import { type Shape, sameShape, show, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';

interface ReshapeAttrs {
  readonly shape: Shape;
}

const reshapeOp: ViewOp<ReshapeAttrs> = defineOp({
  kind: 'view',
  name: 'reshape',
  infer([x], { shape }) {
    if (size(shape) !== size(x.shape)) {
      throw new ShapeError(`reshape: [${shape.join(', ')}] does not hold the elements of ${show(x)}`);
    }
    if (isQuantized(x) && shape.at(-1) !== x.shape.at(-1))
      throw new ShapeError(`reshape: the rows of ${show(x)} stay as they are, got [${shape.join(', ')}]`);
    return { shape, dtype: x.dtype };
  },
  offset: () => 0,
  vjp: ([g], [x]) => [() => reshape(g, x.shape)],
  samples: [sample('[2, 6]', { shape: [3, 4] }), sample('[]', { shape: [1, 1] })],
  known: [known('[1, 2, 3, 4]', [1, 2, 3, 4], { shape: [2, 2] })],
});

/**
 * The same elements, row-major, under another shape; shares the memory. Throws ShapeError when the sizes
 * differ.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply(reshapeOp, [x], { shape });
}
