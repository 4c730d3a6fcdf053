import { DTypeError, ShapeError } from '../errors.ts';
import { kernel, wide } from '../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { drawnTogether, philox, philoxWasm, philoxWgsl } from '../philox.ts';
import { gumbelStream, type RandomOptions } from '../random.ts';
import { rowwise } from '../rowwise.ts';
import { show, size } from '../shape.ts';
import { apply, scope, type Tensor, withoutRecorders } from '../tensor.ts';
import { f32x4, i32, i32x4, math, v128, wasmKernel } from '../wasm/index.ts';
import { largestPlace, requireCountable } from './argmax.ts';
import { less, where } from './comparison.ts';
import { abs } from './functions.ts';
import { countOf, rowSum } from './rows.ts';

export interface CategoricalOptions extends RandomOptions {
  /** Row of a larger draw that the first row is, for a draw in pieces; left out: 0. */
  readonly firstRow?: number;
}

interface NoiseAttrs extends Required<RandomOptions> {
  /** Elements before these, of those that noise is drawn for: a multiple of 4. */
  readonly first: number;
}

/** x + g, g = −ln(−ln(1 − u)) of a number u for each element, uniform among (n + ½)·2⁻²³. */
const addGumbelOp: KernelOp<NoiseAttrs> = defineOp({
  kind: 'kernel',
  name: 'addGumbel',
  infer([x], { first }) {
    if (x.dtype !== 'f32') throw new DTypeError(`addGumbel: needs f32, got ${show(x)}`);
    if (first % 4 !== 0) {
      throw new ShapeError(
        `categorical: a piece of a draw must begin at a multiple of 4 elements, got ${first}`,
      );
    }
    return x;
  },
  wgsl: ([x], [out], { key: [k0, k1], counter: [c1, c2], first }) =>
    kernel({
      name: 'addGumbel',
      in: { xs: wide(x) },
      out: { out: wide(out) },
      params: { k0, k1, c0: first / 4, c1, c2 },
      grid: { cells: Math.ceil(size(x.shape) / 4) },
      declarations: () => philoxWgsl,
      // NUMERICS: near 1 WGSL's log is exact to 2⁻²¹ alone, and the largest g are those of small u: a series.
      body: () => `  let words = philox(vec4u(p.c0 + flat, p.c1, p.c2, ${gumbelStream}u), vec2u(p.k0, p.k1));
  let u = (vec4f(words >> vec4u(9u)) + 0.5) * 0x1p-23f;
  let series = u * (1.0 + u * (0.5 + u * (1.0 / 3.0 + 0.25 * u)));
  out[flat] = xs[flat] - log(select(-log(1.0 - u), series, u < vec4f(0.03125)));`,
    }),
  host(_inputs, _outputs, { key, counter, first }) {
    return ([xs], [out]) => {
      const words = new Uint32Array(4);
      for (let i = 0; i < out.length; i++) {
        if (i % 4 === 0) philox(words, key, [(first + i) / 4, ...counter, gumbelStream]);
        const u = ((words[i % 4] >>> 9) + 0.5) * 2 ** -23;
        out[i] = xs[i] - Math.log(-Math.log1p(-u));
      }
    };
  },
  wasm([x], [output], { key: [k0, k1], counter: [c1, c2], first }) {
    const n = size(x.shape);
    const of = (value: number) => f32x4.const(value);
    const { add, sub, mul } = f32x4;
    return wasmKernel({
      name: 'addGumbel',
      in: { xs: x },
      out: { out: output },
      params: { n, k0, k1, c0: first / 4, c1, c2 },
      items: Math.ceil(n / drawnTogether),
      cost: 9 * drawnTogether,
      body: (w, { xs, out, n, k0, k1, c0, c1, c2 }) =>
        philoxWasm(w, n, [k0, k1], [c0, c1, c2, gumbelStream], (at, words) => {
          const u = w.let(mul(add(f32x4.convertI32x4U(i32x4.shrU(words, 9)), of(0.5)), of(2 ** -23)));
          const series = [1 / 3, 1 / 2, 1].reduce((sum, c) => add(of(c), mul(u, sum)), of(1 / 4));
          const large = f32x4.neg(math.log(w, sub(of(1), u)));
          const drawn = v128.bitselect(mul(u, series), large, f32x4.lt(u, of(0.03125)));
          w.store(i32.add(out, at), sub(v128.load(i32.add(xs, at)), math.log(w, drawn)));
        }),
    });
  },
  vjp: ([g]) => [() => g],
  samples: [
    sample('[7]', { key: [1, 2], counter: [3, 4], first: 0 }),
    sample('[5, 40]', { key: [0xffffffff, 0], counter: [0, 0xffffffff], first: 200 }),
  ],
  tolerance: 4e-5,
});

/** Sums of finite numbers are below this; what is below −it stands for −∞. */
const largest = 1e38;

/** The place of the largest in a row; n, which is none, where a number is NaN. */
const drawnClass = rowwise(
  'drawnClass',
  ['row'],
  (x) => {
    // NUMERICS: by a sum, which is NaN where a number is: the largest may pass over one.
    const total = rowSum(where(less(x, -largest), 0, x));
    return where(less(abs(total), largest), largestPlace(x), countOf(x));
  },
  {
    result: 'i32',
    vjp: null,
    samples: [{ x: [2, 70] }, { x: [4, 200] }],
    known: [known('[[1, 3, 3], [-1, -2, -3]]', [1, 0])],
  },
);

/**
 * A class drawn from softmax(logits) in each row: argmax(logits + g) with Gumbel noise g from
 * Philox4x32-10. It has no gradient. logits f32 [.., n] → i32 [..]; n, no class at all, for a row with a NaN
 * or +∞, so that the cross-entropy of what was drawn is NaN too. The same options draw the same noise on
 * every backend, and rows draw the same in pieces as whole; firstRow·n must be a multiple of 4. Throws
 * ShapeError for n > 2²⁴. Source: Gumbel 1954; Maddison et al., A* Sampling, 2014.
 */
export function categorical(
  logits: Tensor,
  { key, counter = [0, 0], firstRow = 0 }: CategoricalOptions,
): Tensor {
  requireCountable('categorical', logits);
  const first = firstRow * logits.shape.at(-1)!;
  return withoutRecorders(() =>
    scope(() => drawnClass(apply(addGumbelOp, [logits], { key, counter, first }))),
  );
}
