import { DTypeError, ShapeError } from '../errors.ts';
import { f32, kernel } from '../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { showAll, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { element, f32x4, fours, i32, v128, wasmKernel } from '../wasm/index.ts';

interface RopeAttrs {
  /** Position of the first token. */
  readonly offset: number;
  /** 1, or −1 to turn back. */
  readonly direction: number;
}

const ropeOp: KernelOp<RopeAttrs> = defineOp({
  kind: 'kernel',
  name: 'rope',
  infer(inputs, { offset }) {
    const [x, cos, sin] = inputs;
    if (inputs.some((t) => t.dtype !== 'f32'))
      throw new DTypeError(`rope: needs f32, got ${showAll(inputs)}`);
    const [, t, , d] = x.shape;
    const fits = (table: typeof cos) =>
      table.shape.length === 2 && table.shape[0] >= t + offset && 2 * table.shape[1] === d;
    if (x.shape.length !== 4 || !fits(cos) || !fits(sin)) {
      throw new ShapeError(
        `rope: needs [b, t, h, d] and tables [≥ t + ${offset}, d/2], got ${showAll(inputs)}`,
      );
    }
    return { shape: x.shape, dtype: 'f32' };
  },
  wgsl([x, cosines, sines], [out], { offset, direction }) {
    const [, tokens, heads, d] = x.shape;
    return kernel({
      name: 'rope',
      in: { xs: x, cosines, sines },
      out: { out },
      params: { half: d / 2, heads, tokens, offset, direction: f32(direction) },
      // A cell is a pair (x_j, x_{j+d/2}).
      grid: { cells: size(x.shape) / 2 },
      body: () => `  let j = flat % p.half;
  let vector = flat / p.half;
  let angle = ((vector / p.heads) % p.tokens + p.offset) * p.half + j;
  let c = cosines[angle];
  let s = p.direction * sines[angle];
  let at = vector * 2u * p.half + j;
  let x = xs[at];
  let y = xs[at + p.half];
  out[at] = x * c - y * s;
  out[at + p.half] = y * c + x * s;`,
    });
  },
  host([x], _, { offset, direction }) {
    const [, t, h, d] = x.shape;
    const half = d / 2;
    return ([xs, cosines, sines], [out]) => {
      for (let vector = 0; vector * d < out.length; vector++) {
        const angle = ((Math.floor(vector / h) % t) + offset) * half;
        for (let j = 0; j < half; j++) {
          const c = cosines[angle + j];
          const s = direction * sines[angle + j];
          const at = vector * d + j;
          const [x, y] = [xs[at], xs[at + half]];
          out[at] = x * c - y * s;
          out[at + half] = y * c + x * s;
        }
      }
    };
  },
  wasm([x, cosines, sines], [output], { offset, direction }) {
    const [b, tokens, heads, d] = x.shape;
    return wasmKernel({
      name: 'rope',
      in: { xs: x, cosines, sines },
      out: { out: output },
      params: { half: d / 2, heads, tokens, offset, direction: f32(direction) },
      items: b * tokens,
      cost: 10 + (heads * d) / 4,
      body: (w, { xs, cosines, sines, out, half, heads, tokens, offset, direction }) => {
        const sign = w.let(f32x4.splat(direction));
        const bytes = w.let(i32.shl(half, 2));
        w.range(w.from, w.to, 1, (token) => {
          const angle = w.let(i32.mul(i32.add(i32.remU(token, tokens), offset), half));
          const [cosine, sine] = [w.let(element(cosines, angle)), w.let(element(sines, angle))];
          const first = w.let(i32.mul(token, heads));
          w.range(first, w.let(i32.add(first, heads)), 1, (head) => {
            const vector = w.let(i32.mul(head, i32.shl(bytes, 1)));
            fours(w, half, (j, four) => {
              const at = w.let(element(vector, j));
              const [from, to] = [w.let(i32.add(xs, at)), w.let(i32.add(out, at))];
              const [x, y] = [w.let(v128.load(from)), w.let(v128.load(i32.add(from, bytes)))];
              const c = w.let(v128.load(element(cosine, j)));
              const s = w.let(f32x4.mul(sign, v128.load(element(sine, j))));
              four.store(to, f32x4.sub(f32x4.mul(x, c), f32x4.mul(y, s)));
              four.store(i32.add(to, bytes), f32x4.add(f32x4.mul(y, c), f32x4.mul(x, s)));
            });
          });
        });
      },
    });
  },
  vjp: ([g], [, cos, sin], _, { offset, direction }) => [
    () => apply(ropeOp, [g, cos, sin], { offset, direction: -direction }),
    null,
    null,
  ],
  samples: [
    sample('[2, 3, 2, 4] [5, 2] [5, 2]', { offset: 0, direction: 1 }),
    sample('[1, 2, 3, 6] [9, 3] [9, 3]', { offset: 4, direction: -1 }),
  ],
  known: [known('[[[[3, 5]]]] [[0]] [[1]]', [-5, 3], { offset: 0, direction: 1 })],
});

/** cos and sin of position·frequency. Two f32 [positions, d/2] tables. */
export interface RopeTables {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * Rotates the pairs (x_j, x_{j+d/2}) of each head by the angle of its token's position.
 * x f32 [b, t, h, d], token i at position offset + i → f32 [b, t, h, d].
 * Su et al. 2021, "RoFormer", in the half-split layout of Hugging Face checkpoints.
 */
export const rope = (x: Tensor, { cos, sin }: RopeTables, offset = 0): Tensor =>
  apply(ropeOp, [x, cos, sin], { offset, direction: 1 });
