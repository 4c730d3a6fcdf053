import { DTypeError, ShapeError } from '../errors.ts';
import { f32, kernel } from '../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { showAll, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';

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

/** cos and sin of position·frequency, computed in f64. Two f32 [positions, d/2] tables. */
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
