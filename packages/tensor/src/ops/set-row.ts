import { DTypeError, ShapeError } from '../errors.ts';
import { kernel, wide } from '../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { showAll, size } from '../shape.ts';
import { apply, type Donated, type Tensor } from '../tensor.ts';
import { copyRow, element, i32, wasmKernel } from '../wasm/index.ts';

type NoAttrs = Readonly<Record<string, never>>;

const setRowOp: KernelOp<NoAttrs> = defineOp({
  kind: 'kernel',
  name: 'setRow',
  infer(inputs) {
    const [x, y, at] = inputs;
    if (x.dtype !== 'f32' || y.dtype !== 'f32' || at.dtype !== 'i32') {
      throw new DTypeError(
        `setRow: needs matrices and rows of f32 and places of i32, got ${showAll(inputs)}`,
      );
    }
    const [r, , e] = x.shape;
    const fits = y.shape.length === 2 && y.shape[0] === r && y.shape[1] === e;
    if (x.shape.length !== 3 || !fits || at.shape.length !== 1 || at.shape[0] !== r) {
      throw new ShapeError(`setRow: needs [r, n, e], [r, e] and [r], got ${showAll(inputs)}`);
    }
    return x;
  },
  wgsl([x, y, at], [out], _attrs, _device, [taken]) {
    const [r, n, e] = x.shape;
    const lanes = e % 4 === 0 ? 4 : 1;
    const inPlace = taken === 0;
    return kernel({
      name: 'setRow',
      in: { xs: wide(x, lanes), ys: wide(y, lanes), at },
      out: { out: wide(out, lanes) },
      params: { n, width: e / lanes },
      grid: { cells: (inPlace ? r * e : size(x.shape)) / lanes },
      variant: [inPlace],
      body: () =>
        inPlace
          ? `  let matrix = flat / p.width;
  let row = u32(at[matrix]);
  if (row < p.n) { out[(matrix * p.n + row) * p.width + flat % p.width] = ys[flat]; }`
          : `  let row = flat / p.width;
  let matrix = row / p.n;
  if (u32(at[matrix]) == row % p.n) { out[flat] = ys[matrix * p.width + flat % p.width]; }
  else { out[flat] = xs[flat]; }`,
    });
  },
  host([x]) {
    const [r, n, e] = x.shape;
    return ([xs, ys, at], [out]) => {
      out.set(xs); // itself where it is in place
      for (let i = 0; i < r; i++) {
        if (at[i] >= 0 && at[i] < n) out.set(ys.subarray(i * e, (i + 1) * e), (i * n + at[i]) * e);
      }
    };
  },
  wasm([x, y, at], [output], _attrs, [taken]) {
    const [r, n, e] = x.shape;
    const inPlace = taken === 0;
    return wasmKernel({
      name: 'setRow',
      in: { xs: x, ys: y, at },
      out: { out: output },
      params: { n, e },
      items: r,
      cost: 10 + ((inPlace ? 1 : n) * e) / 8,
      variant: [inPlace],
      body: (w, { xs, ys, at, out, n, e }) =>
        w.range(w.from, w.to, 1, (i) => {
          const row = w.let(i32.load(element(at, i)));
          const start = w.let(i32.mul(i, i32.mul(n, e)));
          if (!inPlace) w.copy(element(out, start), element(xs, start), i32.shl(i32.mul(n, e), 2));
          w.if(i32.ltU(row, n), () => {
            const to = w.let(element(out, i32.add(start, i32.mul(row, e))));
            copyRow(w, to, w.let(element(ys, i32.mul(i, e))), e);
          });
        }),
    });
  },
  donates: () => [[0]],
  vjp: null,
  samples: [sample('[3, 6, 4] [3, 4] [3]', {}), sample('[2, 5, 3] [2, 3] [2]', {})],
  domains: [undefined, undefined, { kind: 'index', below: 6 }],
  known: [known('[[[1], [2]], [[3], [4]], [[5], [6]]] [[7], [8], [9]] [1, -1, 0]', [1, 7, 3, 4, 9, 6], {})],
});

/**
 * The matrices x with row at[i] of matrix i replaced by row i of y; none is where at[i] is outside [0, n).
 * x f32 [r, n, e], y f32 [r, e], at i32 [r] → f32 [r, n, e]. For the caches of decoding: it has no gradient,
 * and a cache that is given up (`donate(x)`) is written in place.
 */
export const setRow = (x: Tensor | Donated, y: Tensor, at: Tensor): Tensor => apply(setRowOp, [x, y, at], {});
