import { DTypeError, ShapeError } from '../errors.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { broadcastShapes, type Shape, type Spec, sameShape, showAll, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { choose, kernelOf } from './matmul/choose.ts';
import { type MatmulAttrs, problemOf } from './matmul/problem.ts';
import { textKernel } from './matmul/text.ts';
import { productKernel } from './matmul/wasm/choose.ts';
import { reshape } from './reshape.ts';
import { broadcastTo, sumTo } from './sum.ts';

/** Checks types, ranks and the inner size. Returns the output's matrix and both inputs' batch axes. */
function checkMatrices(inputs: readonly Spec[], { transposeA, transposeB }: MatmulAttrs) {
  const [a, b] = inputs;
  if (inputs.some((t) => t.dtype !== 'f32' && t.dtype !== 'f16')) {
    throw new DTypeError(`matmul: needs f32 or f16, got ${showAll(inputs)}`);
  }
  if (inputs.some((t) => t.shape.length < 2)) {
    throw new ShapeError(`matmul: inputs must have two axes or more, got ${showAll(inputs)}`);
  }
  const [m, k] = transposeA ? a.shape.slice(-2).reverse() : a.shape.slice(-2);
  const [inner, n] = transposeB ? b.shape.slice(-2).reverse() : b.shape.slice(-2);
  if (k !== inner) {
    const read = [transposeA ? 'a transposed' : '', transposeB ? 'b transposed' : '']
      .filter(Boolean)
      .join(', ');
    throw new ShapeError(`matmul: inner sizes must be equal, got ${showAll(inputs)}${read && ` (${read})`}`);
  }
  return { matrix: [m, n], batchA: a.shape.slice(0, -2), batchB: b.shape.slice(0, -2) };
}

const matmulOp: KernelOp<MatmulAttrs> = defineOp({
  kind: 'kernel',
  name: 'matmul',
  infer(inputs, attrs) {
    const { matrix, batchA, batchB } = checkMatrices(inputs, attrs);
    if (batchA.length > 0 && batchB.length > 0 && !sameShape(batchA, batchB)) {
      throw new ShapeError(`matmul: batch axes must be equal or absent, got ${showAll(inputs)}`);
    }
    return { shape: [...(batchA.length > 0 ? batchA : batchB), ...matrix], dtype: 'f32' };
  },
  // NUMERICS: every body accumulates in f32, and in an order of its own.
  wgsl(inputs, [output], attrs, device) {
    const problem = problemOf(inputs, output, attrs);
    return kernelOf(choose(device, problem), device, problem);
  },
  host: (inputs, [output], attrs) => textKernel(problemOf(inputs, output, attrs)),
  wasm: (inputs, [output], attrs) => productKernel(problemOf(inputs, output, attrs), inputs, output),
  vjp: ([g], [a, b], _, { transposeA: ta, transposeB: tb }) => [
    () =>
      sumTo(
        ta ? matmul(b, g, { transposeA: tb, transposeB: true }) : matmul(g, b, { transposeB: !tb }),
        a.shape,
      ),
    () =>
      sumTo(
        tb ? matmul(g, a, { transposeA: true, transposeB: ta }) : matmul(a, g, { transposeA: !ta }),
        b.shape,
      ),
  ],
  samples: [
    ...[false, true].flatMap((transposeA) =>
      [false, true].map((transposeB) => ({
        shapes: [transposeA ? [5, 3] : [3, 5], transposeB ? [4, 5] : [5, 4]],
        attrs: { transposeA, transposeB },
      })),
    ),
    sample('[2, 1, 3] [2, 3, 1]', { transposeA: false, transposeB: false }),
    sample('[2, 5, 4] [5, 3]', { transposeA: true, transposeB: false }),
    sample('[3, 2] [2, 2, 4, 2]', { transposeA: false, transposeB: true }),
    sample('[9, 16] [17, 16]', { transposeA: false, transposeB: true }),
    sample('[9, 16] [16, 36]', { transposeA: false, transposeB: false }),
  ],
  known: [
    known('[[1, 2], [3, 4]] [[5, 6], [7, 8]]', [19, 22, 43, 50], { transposeA: false, transposeB: false }),
    known('[[1], [2]] [[1, 0], [0, 1], [1, 1]]', [1, 2, 3], { transposeA: true, transposeB: true }),
  ],
});

/**
 * a·b over the last two axes, accumulated in f32. a f32|f16 [.., m, k] ([.., k, m] with transposeA), b
 * f32|f16 [.., k, n] ([.., n, k] with transposeB) → f32 [.., m, n]. The axes before broadcast as in NumPy; an
 * input without them serves every matrix of the other without a copy; one that stretches in some of them is
 * copied, and must be f32. Throws ShapeError where inner sizes differ or batch axes do not broadcast,
 * DTypeError for other types.
 */
export function matmul(
  a: Tensor,
  b: Tensor,
  { transposeA = false, transposeB = false }: Partial<MatmulAttrs> = {},
): Tensor {
  const attrs = { transposeA, transposeB };
  const { matrix, batchA, batchB } = checkMatrices([a, b], attrs);
  const batch = broadcastShapes(
    'matmul: batch axes',
    [batchA, batchB].map((shape) => ({ shape, dtype: 'f32' })),
  );
  const left = shareOrStretch(a, batch);
  const right = shareOrStretch(b, batch);
  // One matrix for many: the rows of the whole batch are the rows of one larger product.
  const fold = !transposeA && right.shape.length === 2;
  const rows = fold
    ? reshape(left, [size(left.shape.slice(0, -1)), left.shape[left.shape.length - 1]])
    : left;
  return reshape(apply(matmulOp, [rows, right], attrs), [...batch, ...matrix]);
}

/** x with the batch axes of the output, or with none where it is a single matrix. */
function shareOrStretch(x: Tensor, batch: Shape): Tensor {
  const matrix = x.shape.slice(-2);
  const matrices = size(x.shape.slice(0, -2));
  if (matrices === 1) return reshape(x, matrix);
  const whole = [...batch, ...matrix];
  return matrices === size(batch) ? reshape(x, whole) : broadcastTo(x, whole);
}
