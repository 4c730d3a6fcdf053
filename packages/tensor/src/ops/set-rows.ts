import { DTypeError, ShapeError } from '../errors.ts';
import { float16BitsToFloat32, toFloat16Bits } from '../half-floats.ts';
import { kernel } from '../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { bytesPerElement, showAll } from '../shape.ts';
import { apply, type Donated, type Tensor } from '../tensor.ts';
import { element, halved, type I32, i16x8, i32, v128, wasmKernel } from '../wasm/index.ts';
import { halfBits } from './cast.ts';

type NoAttrs = Readonly<Record<string, never>>;

const setRowsOp: KernelOp<NoAttrs> = defineOp({
  kind: 'kernel',
  name: 'setRows',
  infer(inputs) {
    const [x, y, at] = inputs;
    const storable = x.dtype === 'f32' ? y.dtype === 'f32' : x.dtype === 'f16' && /^f/.test(y.dtype);
    if (!storable || at.dtype !== 'i32') {
      throw new DTypeError(
        `setRows: needs matrices of f32 or f16, rows that they hold and places of i32, got ${showAll(inputs)}`,
      );
    }
    const [r, , e] = x.shape;
    const fits = y.shape.length === 3 && y.shape[0] === r && y.shape[2] === e;
    if (x.shape.length !== 3 || !fits || at.shape.length !== 1 || at.shape[0] !== r) {
      throw new ShapeError(`setRows: needs [r, n, e], [r, t, e] and [r], got ${showAll(inputs)}`);
    }
    if (x.dtype === 'f16' && e % 2 !== 0) {
      throw new ShapeError(`setRows: rows of f16 need an even number of elements, got ${showAll(inputs)}`);
    }
    return x;
  },
  wgsl([x, y, at], [out], _attrs, _device, [taken]) {
    const [r, n, e] = x.shape;
    const t = y.shape[1];
    const inPlace = taken === 0;
    const rounds = x.dtype !== y.dtype;
    // Words of four bytes: f16 in pairs.
    const width = x.dtype === 'f16' ? e / 2 : e;
    const row = (word: string) =>
      rounds ? `pair(ys[2u * (${word})], ys[2u * (${word}) + 1u])` : `ys[${word}]`;
    return kernel({
      name: 'setRows',
      in: { xs: x, ys: y, at },
      out: { out },
      params: { n, t, width },
      grid: { cells: r * (inPlace ? t : n) * width },
      variant: [inPlace],
      declarations: () =>
        rounds
          ? `${halfBits}
fn pair(a: f32, b: f32) -> u32 {
  let bits = halfBits(vec4f(a, b, 0.0, 0.0));
  return bits.x | (bits.y << 16u);
}`
          : '',
      // A place before the matrix wraps around to a large number, so one comparison tells both ends.
      body: () =>
        inPlace
          ? `  let fresh = flat / p.width;
  let matrix = fresh / p.t;
  let row = u32(at[matrix]) + fresh % p.t;
  if (row < p.n) { out[(matrix * p.n + row) * p.width + flat % p.width] = ${row('flat')}; }`
          : `  let row = flat / p.width;
  let matrix = row / p.n;
  let fresh = row % p.n - u32(at[matrix]);
  if (fresh < p.t) { out[flat] = ${row('(matrix * p.t + fresh) * p.width + flat % p.width')}; }
  else { out[flat] = xs[flat]; }`,
    });
  },
  host([x, y]) {
    const [r, n, e] = x.shape;
    const t = y.shape[1];
    return ([xs, ys, at], [out]) => {
      out.set(xs); // itself where it is in place
      const rounds = x.dtype !== y.dtype && !(out instanceof Float64Array);
      const rows = rounds ? float16BitsToFloat32(toFloat16Bits(ys)) : ys;
      for (let i = 0; i < r * t; i++) {
        const row = at[Math.floor(i / t)] + (i % t);
        if (row < 0 || row >= n) continue;
        out.set(rows.subarray(i * e, (i + 1) * e), (Math.floor(i / t) * n + row) * e);
      }
    };
  },
  wasm([x, y, at], [output], _attrs, [taken]) {
    const [r, n, e] = x.shape;
    const t = y.shape[1];
    const inPlace = taken === 0;
    const rounds = x.dtype !== y.dtype;
    const bytes = e * bytesPerElement[x.dtype];
    return wasmKernel({
      name: 'setRows',
      in: { xs: x, ys: y, at },
      out: { out: output },
      params: { n, t, e, bytes },
      items: r,
      cost: 10 + ((inPlace ? t : n) * e) / 8,
      variant: [inPlace],
      body: (w, { xs, ys, at, out, n, t, e, bytes }) =>
        w.range(w.from, w.to, 1, (i) => {
          const first = w.let(i32.load(element(at, i)));
          const start = w.let(i32.mul(i, i32.mul(n, bytes)));
          if (!inPlace) w.copy(i32.add(out, start), i32.add(xs, start), i32.mul(n, bytes));
          w.range(0, t, 1, (j) => {
            const row = w.let(i32.add(first, j));
            const fresh = w.let(i32.add(i32.mul(i, t), j));
            w.if(i32.ltU(row, n), () => {
              const to = w.let(i32.add(i32.add(out, start), i32.mul(row, bytes)));
              if (!rounds) return w.copy(to, i32.add(ys, i32.mul(fresh, bytes)), bytes);
              const from = w.let(element(ys, i32.mul(fresh, e)));
              const half = (k: I32) => {
                const four = w.let(halved(w, w.let(v128.load(element(from, k)))));
                return w.let(i16x8.narrowI32x4U(four, four));
              };
              const whole = w.let(i32.and(e, -4));
              w.range(0, whole, 4, (k) => w.storeLane64(i32.add(to, i32.shl(k, 1)), half(k), 0));
              w.if(i32.and(e, 2), () => w.storeLane32(i32.add(to, i32.shl(whole, 1)), half(whole), 0));
            });
          });
        }),
    });
  },
  donates: () => [[0]],
  vjp: null,
  samples: [
    sample('[3, 6, 4] [3, 1, 4] [3]', {}),
    sample('[2, 5, 3] [2, 2, 3] [2]', {}),
    sample('[2, 7, 6] [2, 3, 6] [2]', {}),
  ],
  domains: [undefined, undefined, { kind: 'index', below: 6 }],
  known: [
    known('[[[1], [2]], [[3], [4]], [[5], [6]]] [[[7]], [[8]], [[9]]] [1, -1, 0]', [1, 7, 3, 4, 9, 6], {}),
    known('[[[1], [2], [3]]] [[[7], [8]]] [2]', [1, 2, 7], {}),
    known('[[[1], [2], [3]]] [[[7], [8]]] [-1]', [8, 2, 3], {}),
  ],
  // Half the spacing of f16, which the f64 reference does not round to.
  tolerance: 2 ** -11,
});

/**
 * The matrices x with rows at[i] … at[i] + t − 1 of matrix i replaced by those of y, as many as lie in
 * [0, n); f32 rows of y are rounded to nearest even where x is f16. x f32 or f16 [r, n, e], y f32 or x's type
 * [r, t, e], at i32 [r] → x's type [r, n, e]; e is even for f16. For the caches of decoding: it has no
 * gradient, and a cache that is given up (`donate(x)`) is written in place.
 */
export const setRows = (x: Tensor | Donated, y: Tensor, at: Tensor): Tensor =>
  apply(setRowsOp, [x, y, at], {});
