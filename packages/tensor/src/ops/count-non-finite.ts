import { DTypeError } from '../errors.ts';
import { kernel } from '../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { show, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { element, f32, i32, wasmKernel } from '../wasm/index.ts';
import { load } from '../wgsl.ts';

type NoAttrs = Readonly<Record<string, never>>;

/** Pieces that a tensor is counted in, at most. */
const mostPieces = 1024;

/** Elements of a piece. */
const pieceOf = (n: number): number => Math.max(64, Math.ceil(n / mostPieces));

const countNonFiniteOp: KernelOp<NoAttrs> = defineOp({
  kind: 'kernel',
  name: 'countNonFinite',
  infer([x]) {
    if (x.dtype !== 'f32' && x.dtype !== 'f16')
      throw new DTypeError(`countNonFinite: needs f32 or f16, got ${show(x)}`);
    const n = size(x.shape);
    return { shape: [Math.ceil(n / pieceOf(n)), 2], dtype: 'f32' };
  },
  wgsl([x], [out]) {
    const n = size(x.shape);
    return kernel({
      name: 'countNonFinite',
      in: { xs: x },
      out: { out },
      params: { n, piece: pieceOf(n) },
      grid: { cells: out.shape[0] },
      // NUMERICS: by its bits, since a compiler may take every f32 for finite.
      body: () => `  var nan = 0.0;
  var infinite = 0.0;
  for (var i = flat * p.piece; i < min((flat + 1u) * p.piece, p.n); i++) {
    let magnitude = bitcast<u32>(${load('xs', x.dtype, 'i')}) & 0x7fffffffu;
    if (magnitude > 0x7f800000u) { nan += 1.0; }
    if (magnitude == 0x7f800000u) { infinite += 1.0; }
  }
  out[2u * flat] = nan;
  out[2u * flat + 1u] = infinite;`,
    });
  },
  host([x]) {
    const n = size(x.shape);
    const piece = pieceOf(n);
    return ([xs], [out]) => {
      out.fill(0);
      for (let i = 0; i < n; i++) {
        if (!Number.isFinite(xs[i])) out[2 * Math.floor(i / piece) + (Number.isNaN(xs[i]) ? 0 : 1)]++;
      }
    };
  },
  wasm([x], [output]) {
    const n = size(x.shape);
    const piece = pieceOf(n);
    const half = x.dtype === 'f16';
    const [magnitudes, infinity] = half ? [0x7fff, 0x7c00] : [0x7fffffff, 0x7f800000];
    return wasmKernel({
      name: 'countNonFinite',
      in: { x },
      out: { out: output },
      params: { n, piece },
      items: output.shape[0],
      cost: piece,
      body(w, { x, out, n, piece }) {
        const [nan, infinite] = [w.local('i32'), w.local('i32')];
        w.range(w.from, w.to, 1, (i) => {
          w.set(nan, i32.const(0));
          w.set(infinite, i32.const(0));
          const first = w.let(i32.mul(i, piece));
          w.range(first, i32.min(w.let(i32.add(first, piece)), n), 1, (j) => {
            const bits = half ? i32.load16U(i32.add(x, i32.shl(j, 1))) : i32.load(element(x, j));
            const magnitude = w.let(i32.and(bits, magnitudes));
            w.set(nan, i32.add(nan, i32.gtU(magnitude, infinity)));
            w.set(infinite, i32.add(infinite, i32.eq(magnitude, infinity)));
          });
          const to = w.let(element(out, i32.shl(i, 1)));
          w.store(to, f32.convertI32U(nan));
          w.store(to, f32.convertI32U(infinite), 4);
        });
      },
    });
  },
  vjp: null,
  samples: [sample('[]', {}), sample('[3, 70]', {})],
  known: [known('[1, 2, -3]', [0, 0], {})],
});

/**
 * How many elements of each piece of x are NaN, and how many are +∞ or −∞. f32 or f16 [..] → f32 [pieces, 2].
 * Throws DTypeError for other element types.
 */
export function countNonFinite(x: Tensor): Tensor {
  return apply(countNonFiniteOp, [x], {});
}
