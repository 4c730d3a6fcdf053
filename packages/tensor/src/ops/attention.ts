import { defineOp, type KernelOp, known, type Sample, sample } from '../op.ts';
import { rowwiseAll } from '../rowwise.ts';
import type { Spec } from '../shape.ts';
import { apply, applyAll, type Tensor } from '../tensor.ts';
import { mul, sub } from './arithmetic.ts';
import { composedAttention, composedKeyValueGradients, composedQueryGradient } from './attention/composed.ts';
import { attentionLoop, keyValueGradientsLoop, queryGradientLoop } from './attention/host.ts';
import {
  type AttentionAttrs,
  checkAttention,
  checkGradientInputs,
  seenPairs,
  sizesOf,
} from './attention/problem.ts';
import { attentionWasm } from './attention/wasm/forward.ts';
import { keyValueGradientsWasm, queryGradientWasm } from './attention/wasm/gradients.ts';
import { attentionKernel, keyValueGradientsKernel, queryGradientKernel } from './attention/wgsl.ts';
import { rowSum } from './rows.ts';

/** Which keys a query sees. */
export interface AttentionOptions {
  /** Of the products of queries and keys: 1/√d as a rule. */
  readonly scale: number;
  /** Query i sees keys 0 … offset + i; left out: 0. */
  readonly offset?: number;
  /**
   * In place of the offset, for each query the first and the last key that it sees, which are keys that there
   * are; it sees the first in any case. i32 [b, t, 2].
   */
  readonly seen?: Tensor;
}

/**
 * softmax(scale·q·kᵀ)·v of each head over the keys that a query sees; h/kv heads share the keys and values of
 * one. Memory is linear in t and in s: scores are computed in tiles, and again for the gradients.
 * q f32 [b, t, h, d], k and v f32 or f16 [b, s, kv, d] → f32 [b, t, h, d]. k and v of f16 have no gradient.
 * Dao et al. 2022, "FlashAttention", algorithms 1 and 4; Milakov & Gimelshein 2018.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { scale, offset = 0, seen }: AttentionOptions,
): Tensor {
  return applyAll(attentionOp, seen ? [q, k, v, seen] : [q, k, v], { scale, offset })[0];
}

/** Of input `place`, where there is one: what each query sees. */
const keysSeen = (place: number) => (inputs: readonly Spec[]) =>
  inputs.length > place ? [{ input: place, below: inputs[1].shape[1] }] : [];

/**
 * Queries, keys, values, what `more` gives for the shapes of queries and of rows, and what each query sees.
 */
const samples = (more: (q: string, ofRows: string) => string): readonly Sample<AttentionAttrs>[] => {
  const of = (q: readonly number[], s: number, kv: number, end: number | 'seen') => {
    const keys = `[${[q[0], s, kv, q[3]]}]`;
    const seen = end === 'seen' ? `[${[q[0], q[1], 2]}]` : '';
    const shapes = `[${q}] ${keys} ${keys} ${more(`[${q}]`, `[2, ${q.slice(0, 3)}]`)} ${seen}`;
    return sample<AttentionAttrs>(shapes.trim().replaceAll(/ +/g, ' '), {
      scale: 0.35,
      offset: end === 'seen' ? 0 : end,
    });
  };
  return [of([2, 5, 4, 8], 7, 2, 2), of([1, 11, 3, 10], 7, 3, 'seen'), of([2, 1, 4, 8], 9, 1, 8)];
};

const attentionOp: KernelOp<AttentionAttrs> = defineOp({
  kind: 'kernel',
  name: 'attention',
  infer(inputs, attrs) {
    const [q, k, v, seen] = inputs;
    checkAttention('attention', [q, k, v], seen, attrs);
    return [
      { shape: q.shape, dtype: 'f32' },
      { shape: q.shape.slice(0, 3), dtype: 'f32' },
    ];
  },
  wgsl: attentionKernel,
  host: (inputs, _, attrs) => attentionLoop(sizesOf(inputs), attrs),
  wasm: attentionWasm,
  flops(inputs, _, { offset }) {
    const sizes = sizesOf(inputs);
    return 4 * sizes.d * seenPairs(sizes, offset, inputs.length > 3);
  },
  indices: keysSeen(3),
  composed: composedAttention,
  vjp([g, gLse], [q, k, v, ...seen], [mixed, lse], attrs) {
    let given: readonly Tensor[] | undefined;
    let both: readonly Tensor[] | undefined;
    const inputs = () => {
      given ??= [q, k, v, g, ...attentionRows(lse, g, mixed, gLse), ...seen];
      return given;
    };
    const keyAndValue = (place: 0 | 1) => {
      both ??= applyAll(keyValueGradientsOp, inputs(), attrs);
      return both[place];
    };
    return [
      () => apply(queryGradientOp, inputs(), attrs),
      () => keyAndValue(0),
      () => keyAndValue(1),
      ...seen.map(() => null),
    ];
  },
  samples: samples(() => ''),
  domains: [undefined, undefined, undefined, { kind: 'index', below: 7 }],
  known: [
    // Of a single key that is seen its value, and its score.
    known('[[[[2, 1]]]] [[[[3, 1]], [[9, 9]]]] [[[[5, 7]], [[8, 9]]]]', [5, 7, 3.5], {
      scale: 0.5,
      offset: 0,
    }),
  ],
});

// The gradients take what the forward pass left, lse, and delta, which together stand for all keys of a row:
// with s = scale·q·kᵀ the weights are p = e^(s − lse), and ds = p∘(g·vᵀ − delta). Dao et al. 2022, algorithm
// 4. Both lie in one tensor, as a WebGPU device need not bind more than eight to a kernel.

/** lse, and delta = ⟨g, mixed⟩ − gLse, what the gradient of a softmax takes from all of a row's: [2, ..]. */
const attentionRows = rowwiseAll(
  'attentionRows',
  ['cell', 'row', 'row', 'cell'],
  (lse, g, mixed, gLse) => [lse, sub(rowSum(mul(g, mixed)), gLse)],
  { joined: true },
);

const gradientSamples = {
  samples: samples((q, rows) => `${q} ${rows}`),
  // Of lse: so that weights are of the size that they have.
  domains: [
    ...Array.from({ length: 4 }, () => undefined),
    { kind: 'real', min: 2, max: 5 },
    { kind: 'index', below: 7 },
  ] as const,
};

/** dq = scale·ds·k. */
const queryGradientOp: KernelOp<AttentionAttrs> = defineOp({
  kind: 'kernel',
  name: 'attentionQueryGradient',
  infer(inputs, attrs) {
    checkGradientInputs('attentionQueryGradient', inputs, attrs);
    return { shape: inputs[0].shape, dtype: 'f32' };
  },
  wgsl: queryGradientKernel,
  host: (inputs, _, attrs) => queryGradientLoop(sizesOf(inputs), attrs),
  wasm: queryGradientWasm,
  flops(inputs, _, { offset }) {
    const sizes = sizesOf(inputs);
    return 6 * sizes.d * seenPairs(sizes, offset, inputs.length > 5);
  },
  indices: keysSeen(5),
  composed: composedQueryGradient,
  vjp: 'composed',
  ...gradientSamples,
});

/** dk = scale·dsᵀ·q and dv = pᵀ·g. */
const keyValueGradientsOp: KernelOp<AttentionAttrs> = defineOp({
  kind: 'kernel',
  name: 'attentionKeyValueGradients',
  infer(inputs, attrs) {
    checkGradientInputs('attentionKeyValueGradients', inputs, attrs);
    const [, k, v] = inputs;
    return [k, v].map(({ shape }) => ({ shape, dtype: 'f32' }));
  },
  wgsl: keyValueGradientsKernel,
  host: (inputs, _, attrs) => keyValueGradientsLoop(sizesOf(inputs), attrs),
  wasm: keyValueGradientsWasm,
  flops(inputs, _, { offset }) {
    const sizes = sizesOf(inputs);
    return 8 * sizes.d * seenPairs(sizes, offset, inputs.length > 5);
  },
  indices: keysSeen(5),
  composed: composedKeyValueGradients,
  vjp: 'composed',
  ...gradientSamples,
});
