import { DTypeError, ShapeError } from '../errors.ts';
import {
  adding,
  type CompositeOp,
  defineOp,
  type KernelOp,
  known,
  outputsOf,
  sample,
  type Thunk,
  type Vjp,
} from '../op.ts';
import { isQuantized } from '../quantized.ts';
import { broadcastShapes, type Shape, type Spec, sameShape, show, showAll, size } from '../shape.ts';
import { apply, Donated, donate, isRecording, sameSpec, scope, type Tensor } from '../tensor.ts';
import { add, mul } from './arithmetic.ts';
import { cast } from './cast.ts';
import { concat } from './concat.ts';
import { choose, kernelOf } from './matmul/choose.ts';
import { type MatmulAttrs, problemOf } from './matmul/problem.ts';
import { textKernel } from './matmul/text.ts';
import { productKernels } from './matmul/wasm/choose.ts';
import { reshape } from './reshape.ts';
import { isBeyondBinding, rowWindows } from './row-windows.ts';
import { windowAlong } from './slice-pad.ts';
import { broadcastTo, sumTo } from './sum.ts';

const isReal = ({ dtype }: Spec): boolean => dtype === 'f32' || dtype === 'f16';

/** Checks types, ranks and the inner size. Returns the output's matrix and both inputs' batch axes. */
function checkMatrices(a: Spec, b: Spec, { transposeA, transposeB }: MatmulAttrs) {
  const inputs = [a, b];
  if (!isReal(a) || !(isReal(b) || isQuantized(b))) {
    throw new DTypeError(`matmul: needs f32 or f16, got ${showAll(inputs)}`);
  }
  if (inputs.some((t) => t.shape.length < 2)) {
    throw new ShapeError(`matmul: inputs must have two axes or more, got ${showAll(inputs)}`);
  }
  if (isQuantized(b) && b.shape.length > 2) {
    throw new ShapeError(`matmul: an int8 or nf4 matrix has two axes, got ${showAll(inputs)}`);
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

/** Checks what is added to a product. */
function checkPlus(plus: Spec, product: Spec, { alpha = 1 }: MatmulAttrs): void {
  if (alpha !== 1) throw new ShapeError(`matmul: alpha is for products alone, and ${show(plus)} is added`);
  if (sameSpec(plus, product)) return;
  const message = `matmul: what is added must be ${show(product)}, got ${show(plus)}`;
  throw plus.dtype === product.dtype ? new ShapeError(message) : new DTypeError(message);
}

function productOf(inputs: readonly Spec[], attrs: MatmulAttrs): Spec {
  const [a, b, plus] = inputs;
  const { matrix, batchA, batchB } = checkMatrices(a, b, attrs);
  if (batchA.length > 0 && batchB.length > 0 && !sameShape(batchA, batchB)) {
    throw new ShapeError(`matmul: batch axes must be equal or absent, got ${showAll([a, b])}`);
  }
  const output: Spec = { shape: [...(batchA.length > 0 ? batchA : batchB), ...matrix], dtype: 'f32' };
  if (plus) checkPlus(plus, output, attrs);
  return output;
}

/** A gradient in x that is a product; where it has x's shape and no factor, it can be added to others. */
function productThunk(
  g: Tensor,
  x: Tensor,
  { alpha }: MatmulAttrs,
  product: (options: MatmulOptions) => Tensor,
): Thunk {
  if (alpha === undefined && g.shape.length === x.shape.length) return adding((plus) => product({ plus }));
  return () => sumTo(product({ alpha }), x.shape);
}

/** The gradients of a product and of what is added, in products. */
const productGradients: Vjp<MatmulAttrs> = ([g], [a, b, plus], _, attrs) => [
  productThunk(g, a, attrs, (options) =>
    attrs.transposeA
      ? matmul(b, g, { ...options, transposeA: attrs.transposeB, transposeB: true })
      : matmul(g, b, { ...options, transposeB: !attrs.transposeB }),
  ),
  productThunk(g, b, attrs, (options) =>
    attrs.transposeB
      ? matmul(g, a, { ...options, transposeA: true, transposeB: attrs.transposeA })
      : matmul(a, g, { ...options, transposeA: !attrs.transposeA }),
  ),
  ...(plus ? [() => g] : []),
];

const matmulOp: KernelOp<MatmulAttrs> = defineOp({
  kind: 'kernel',
  name: 'matmul',
  infer: productOf,
  // NUMERICS: every body accumulates in f32, and in an order of its own.
  wgsl(inputs, [output], attrs, device) {
    const problem = problemOf(inputs, output, attrs);
    return kernelOf(choose(device, problem), device, problem);
  },
  host: (inputs, [output], attrs) => textKernel(problemOf(inputs, output, attrs)),
  wasm: (inputs, [output], attrs) => productKernels(problemOf(inputs, output, attrs), inputs, output),
  donates: () => [[2]],
  flops(inputs, [output], attrs) {
    const { m, n, k, batch } = problemOf(inputs, output, attrs);
    return 2 * m * n * k * batch;
  },
  composed: ([a, b, plus], { alpha = 1, ...attrs }) => {
    const product = matmul(a, b, attrs);
    return plus ? add(plus, product) : mul(product, alpha);
  },
  vjp: productGradients,
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
    sample('[2, 5, 3] [4, 5] [2, 3, 4]', { transposeA: true, transposeB: true }),
    sample('[2, 1, 9] [17, 9] [2, 1, 17]', { transposeA: false, transposeB: true }),
    sample('[9, 16] [16, 17] [9, 17]', { transposeA: false, transposeB: false }),
    sample('[2, 5, 3] [4, 5]', { transposeA: true, transposeB: true, alpha: 0.75 }),
    sample('[1, 67] [9, 67]', { transposeA: false, transposeB: true, alpha: -3 }),
    sample('[19, 16] [16, 17]', { transposeA: false, transposeB: false, alpha: 0.3 }),
  ],
  known: [
    known('[[1, 2], [3, 4]] [[5, 6], [7, 8]]', [19, 22, 43, 50], { transposeA: false, transposeB: false }),
    known('[[1], [2]] [[1, 0], [0, 1], [1, 1]]', [1, 2, 3], { transposeA: true, transposeB: true }),
    known('[[1, 2]] [[3], [4]] [[5]]', [16], { transposeA: false, transposeB: false }),
    known('[[1, 2]] [[3], [4]]', [5.5], { transposeA: false, transposeB: false, alpha: 0.5 }),
  ],
});

/**
 * The product where a matrix is more than a kernel binds: of windows of its rows, which give columns of the
 * result where it is read as its transpose, and else parts of each sum, added one after the other.
 */
const matmulInWindowsOp: CompositeOp<MatmulAttrs> = {
  kind: 'composite',
  name: 'matmulInWindows',
  infer: productOf,
  composed([a, b, plus], attrs) {
    const { transposeA, transposeB } = attrs;
    if (isBeyondBinding(b) && transposeB) {
      const columns = rowWindows(b).map(({ start, count }) =>
        matmul(a, windowAlong(b, 0, start, count), attrs),
      );
      return plus ? add(plus, concat(columns, -1)) : concat(columns, -1);
    }
    // Windows of the large one are views; of the other they may be copies, which f32 alone has.
    const [left, right] = [a, b].map((x) => (isBeyondBinding(x) ? x : cast(x, 'f32')));
    const [alongA, alongB] = [a.shape.length - (transposeA ? 2 : 1), transposeB ? 1 : 0];
    let sum = plus;
    for (const { start, count } of rowWindows(isBeyondBinding(b) ? b : a)) {
      const before = sum && sum !== plus ? donate(sum) : plus;
      sum = scope(() =>
        matmul(windowAlong(left, alongA, start, count), windowAlong(right, alongB, start, count), {
          ...attrs,
          plus: before,
        }),
      );
    }
    return sum;
  },
  vjp: productGradients,
  samples: [],
};

/** True where a product is made of windows: of the rows of b, or of those of an a that is transposed. */
const isInWindows = (a: Tensor, b: Tensor, { transposeA }: MatmulAttrs): boolean =>
  (b.shape.length === 2 && isBeyondBinding(b)) ||
  (transposeA && a.shape.length === 2 && b.shape.length === 2 && isBeyondBinding(a));

export interface MatmulOptions extends Partial<MatmulAttrs> {
  /**
   * Added to the product, f32 of its shape; not where it is multiplied. If it is given up (`donate`), the
   * result takes its memory.
   */
  readonly plus?: Tensor | Donated;
}

/**
 * alpha·a·b over the last two axes, or plus + a·b, accumulated in f32. a f32|f16 [.., m, k] ([.., k, m]
 * with transposeA), b f32|f16 [.., k, n] ([.., n, k] with transposeB), or int8|nf4 of these two axes alone →
 * f32 [.., m, n]. The axes before broadcast as in NumPy; an input without them serves every matrix of the
 * other without a copy; one that stretches in some of them is copied, and must be f32. Throws ShapeError
 * where inner sizes differ, batch axes do not broadcast or `plus` has another shape or comes with an alpha
 * other than 1, DTypeError for other types.
 */
export function matmul(
  a: Tensor,
  b: Tensor,
  { transposeA = false, transposeB = false, alpha = 1, plus }: MatmulOptions = {},
): Tensor {
  const attrs: MatmulAttrs = { transposeA, transposeB, ...(alpha !== 1 && { alpha }) };
  const { matrix, batchA, batchB } = checkMatrices(a, b, attrs);
  const batch = broadcastShapes(
    'matmul: batch axes',
    [batchA, batchB].map((shape) => ({ shape, dtype: 'f32' })),
  );
  const shape = [...batch, ...matrix];
  if (plus) checkPlus(plus instanceof Donated ? plus.tensor : plus, { shape, dtype: 'f32' }, attrs);
  return scope(() => {
    const left = shareOrStretch(a, batch);
    const right = shareOrStretch(b, batch);
    // One matrix for many: the rows of the whole batch are the rows of one larger product.
    const fold = !transposeA && right.shape.length === 2;
    const rows = fold
      ? reshape(left, [size(left.shape.slice(0, -1)), left.shape[left.shape.length - 1]])
      : left;
    const inputs: (Tensor | Donated)[] = [rows, right];
    if (plus) inputs.push(reshaped(plus, outputsOf(matmulOp, [rows, right], attrs)[0].shape));
    if (!isInWindows(rows, right, attrs)) return reshape(apply(matmulOp, inputs, attrs), shape);
    const whole = reshape(apply(matmulInWindowsOp, inputs, { transposeA, transposeB }), shape);
    return alpha === 1 ? whole : mul(whole, alpha);
  });
}

/** x under another shape, given up where x is. */
function reshaped(x: Tensor | Donated, shape: Shape): Tensor | Donated {
  if (!(x instanceof Donated)) return reshape(x, shape);
  const view = reshape(x.tensor, shape);
  if (view !== x.tensor && !isRecording()) x.tensor.dispose();
  return donate(view);
}

/** x with the batch axes of the output, or with none where it is a single matrix. */
function shareOrStretch(x: Tensor, batch: Shape): Tensor {
  const matrix = x.shape.slice(-2);
  const matrices = size(x.shape.slice(0, -2));
  if (matrices === 1) return reshape(x, matrix);
  const whole = [...batch, ...matrix];
  return matrices === size(batch) ? reshape(x, whole) : broadcastTo(x, whole);
}
