import { ConfigError } from '@flex/base';
import { DTypeError } from '../errors.ts';
import { f32, kernel, wide } from '../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../op.ts';
import { drawnTogether, philox, philoxWasm, philoxWgsl } from '../philox.ts';
import { show, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { f32x4, i32, i32x4, v128, wasmKernel } from '../wasm/index.ts';

export interface DropoutOptions {
  /** Share of the elements set to zero, in [0, 1). */
  readonly rate: number;
  /** Two words u32, the seed of a run. */
  readonly key: readonly [number, number];
  /** Two words u32 that differ from mask to mask: the step and the place in the model. */
  readonly counter: readonly [number, number];
}

/** The largest word that is dropped: word·2⁻³² < rate. */
const lastDropped = (rate: number): number => Math.ceil(rate * 2 ** 32) - 1;

const dropoutOp: KernelOp<DropoutOptions> = defineOp({
  kind: 'kernel',
  name: 'dropout',
  infer([x], { rate }) {
    if (x.dtype !== 'f32') throw new DTypeError(`dropout: needs f32, got ${show(x)}`);
    if (!(rate >= 0 && rate < 1)) throw new ConfigError(`dropout: rate must be in [0, 1), got ${rate}`);
    return x;
  },
  wgsl: ([x], [out], { rate, key: [k0, k1], counter: [c1, c2] }) =>
    kernel({
      name: 'dropout',
      in: { xs: wide(x) },
      out: { out: wide(out) },
      params: { last: lastDropped(rate), scale: f32(1 / (1 - rate)), k0, k1, c1, c2 },
      grid: { cells: Math.ceil(size(x.shape) / 4) },
      declarations: () => philoxWgsl,
      body: () => `  let words = philox(vec4u(flat, p.c1, p.c2, 0u), vec2u(p.k0, p.k1));
  out[flat] = select(vec4f(0.0), p.scale * xs[flat], words > vec4u(p.last));`,
    }),
  host(_inputs, _outputs, { rate, key, counter }) {
    const last = lastDropped(rate);
    return ([xs], [out]) => {
      const words = new Uint32Array(4);
      for (let i = 0; i < out.length; i++) {
        if (i % 4 === 0) philox(words, key, [i / 4, ...counter, 0]);
        out[i] = words[i % 4] > last ? xs[i] / (1 - rate) : 0;
      }
    };
  },
  wasm([x], [output], { rate, key: [k0, k1], counter: [c1, c2] }) {
    const n = size(x.shape);
    return wasmKernel({
      name: 'dropout',
      in: { xs: x },
      out: { out: output },
      params: { n, last: lastDropped(rate), scale: f32(1 / (1 - rate)), k0, k1, c1, c2 },
      items: Math.ceil(n / drawnTogether),
      cost: 2 * drawnTogether,
      body(w, { xs, out, n, last, scale, k0, k1, c1, c2 }) {
        const [scales, limit] = [w.let(f32x4.splat(scale)), w.let(i32x4.splat(last))];
        philoxWasm(w, n, [k0, k1], [0, c1, c2, 0], (at, words) => {
          const value = f32x4.mul(scales, v128.load(i32.add(xs, at)));
          w.store(i32.add(out, at), v128.and(value, i32x4.gtU(words, limit)));
        });
      },
    });
  },
  vjp: ([g], _inputs, _outputs, options) => [() => apply(dropoutOp, [g], options)],
  samples: [
    sample('[7]', { rate: 0.5, key: [1, 2], counter: [3, 4] }),
    sample('[5, 40]', { rate: 0.1, key: [0xffffffff, 0], counter: [0, 0xffffffff] }),
  ],
  // With key and counter 0 the first block's words are the first known answer of the paper.
  known: [known('[1, 2, 3, 4]', [0, 4, 6, 8], { rate: 0.5, key: [0, 0], counter: [0, 0] })],
});

/**
 * x/(1 − rate) where u ≥ rate, else 0, with u uniform in [0, 1) from Philox4x32-10: f32 [..] → f32 [..].
 * Element i takes word i mod 4 of counter (⌊i/4⌋, counter, 0), so the mask is the same on every backend, and
 * the same again in the backward pass. Rate 0 gives x itself. Throws ConfigError for a rate outside [0, 1).
 */
export function dropout(x: Tensor, options: DropoutOptions): Tensor {
  return options.rate === 0 ? x : apply(dropoutOp, [x], options);
}
