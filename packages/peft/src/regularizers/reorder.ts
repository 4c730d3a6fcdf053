import { DTypeError, gather, permute, ShapeError, show, type Tensor, tensor } from '@flex/tensor';
import { apply, type CompositeOp, defineOp, known, sample } from '@flex/tensor/kernel';

interface ReorderAttrs {
  readonly places: Int32Array;
}

const reorderOp: CompositeOp<ReorderAttrs> = defineOp({
  kind: 'composite',
  name: 'reorder',
  infer([x], { places }) {
    if (x.dtype !== 'f32') throw new DTypeError(`reorder: needs f32, got ${show(x)}`);
    if (x.shape.length !== 2 || x.shape[1] !== places.length) {
      throw new ShapeError(`reorder: needs [rows, ${places.length}], got ${show(x)}`);
    }
    return x;
  },
  composed([x], { places }) {
    const ids = tensor(x.backend, places, [places.length], 'i32');
    return permute(gather(permute(x, [1, 0]), ids), [1, 0]);
  },
  // Cheaper than gather's own, which must expect that an index stands at several places.
  vjp: ([g], _inputs, _outputs, { places }) => [() => reorder(g, inverse(places))],
  samples: [sample('[3, 7]', { places: Int32Array.of(2, 0, 1, 5, 6, 4, 3) })],
  known: [known('[[1, 2, 3], [4, 5, 6]]', [3, 1, 2, 6, 4, 5], { places: Int32Array.of(2, 0, 1) })],
});

/** out[row, i] = x[row, places[i]], `places` a permutation of 0 … n − 1: x f32 [rows, n] → f32 [rows, n]. */
export const reorder = (x: Tensor, places: Int32Array): Tensor => apply(reorderOp, [x], { places });

function inverse(places: Int32Array): Int32Array {
  const back = new Int32Array(places.length);
  places.forEach((place, i) => {
    back[place] = i;
  });
  return back;
}
