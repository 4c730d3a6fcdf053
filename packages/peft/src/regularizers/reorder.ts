import { DTypeError, ShapeError, showAll, size, type Tensor } from '@flex/tensor';
import { apply, defineOp, type KernelOp, kernel } from '@flex/tensor/kernel';

type NoAttrs = Readonly<Record<string, never>>;

/**
 * out[row, i] = x[row, places[i]]. Its third input, the inverse permutation, is not read: the gradient
 * needs it.
 */
const reorderOp: KernelOp<NoAttrs> = defineOp({
  kind: 'kernel',
  name: 'reorder',
  infer(inputs) {
    const [x, places, back] = inputs;
    if (x.dtype !== 'f32' || places.dtype !== 'i32' || back.dtype !== 'i32') {
      throw new DTypeError(`reorder: needs f32, i32 and i32, got ${showAll(inputs)}`);
    }
    if (
      x.shape.length !== 2 ||
      [places, back].some(({ shape }) => shape.length !== 1 || shape[0] !== x.shape[1])
    ) {
      throw new ShapeError(`reorder: needs [rows, n], [n] and [n], got ${showAll(inputs)}`);
    }
    return { shape: x.shape, dtype: 'f32' };
  },
  wgsl: ([xs, places], [out]) =>
    kernel({
      name: 'reorder',
      in: { xs, places, back: places },
      out: { out },
      params: { width: xs.shape[1] },
      grid: { cells: size(xs.shape) },
      body: () => `  let column = flat % p.width;
  out[flat] = xs[flat - column + u32(places[column])];`,
    }),
  host: ([{ shape }]) => {
    const width = shape[1];
    return ([xs, places], [out]) => {
      for (let i = 0; i < out.length; i++) out[i] = xs[i - (i % width) + places[i % width]];
    };
  },
  vjp: ([g], [, places, back]) => [() => reorder(g, back, places), null, null],
  samples: [{ shapes: [[3, 7], [7], [7]], attrs: {} }],
  domains: [undefined, { kind: 'index', below: 7 }, { kind: 'index', below: 7 }],
  known: [
    {
      inputs: [
        { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] },
        { shape: [3], data: [2, 0, 1] },
        { shape: [3], data: [1, 2, 0] },
      ],
      attrs: {},
      output: [3, 1, 2, 6, 4, 5],
    },
  ],
});

/**
 * x f32 [rows, n] with the elements of each row at other places: `places` i32 [n], a permutation, `back`
 * its inverse.
 */
export const reorder = (x: Tensor, places: Tensor, back: Tensor): Tensor =>
  apply(reorderOp, [x, places, back], {});
