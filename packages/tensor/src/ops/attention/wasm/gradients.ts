import { f32 as real } from '../../../kernel-record.ts';
import type { Spec } from '../../../shape.ts';
import {
  element,
  f32x4,
  type I32,
  i32,
  i32x4,
  math,
  v128,
  type WasmKernel,
  wasmKernel,
} from '../../../wasm/index.ts';
import { type AttentionAttrs, sizesOf } from '../problem.ts';
import {
  addQuad,
  blockColumns,
  blockRows,
  boundsOf,
  eachFour,
  fitsScratch,
  numbersFrom,
  packColumns,
  packRows,
  panelBytes,
  paramsOf,
  quad,
  quadBytes,
  rangeOf,
  rowOf,
  scoreQuad,
  vectorsOf,
  within,
  zeroVectors,
} from './blocks.ts';

type Input = 'q' | 'k' | 'v' | 'g' | 'ofRows' | 'seen';

const namesOf = ([q, k, v, g, ofRows, seen]: readonly Spec[]) =>
  ({ q, k, v, g, ofRows, ...(seen && { seen }) }) as Readonly<Record<Input, Spec>>;

/** dq for the CPU engine. An item is 64 queries of a head, which pass over 64 keys at a time. */
export function queryGradientWasm(
  inputs: readonly Spec[],
  [dq]: readonly Spec[],
  { scale, offset }: AttentionAttrs,
): WasmKernel | undefined {
  const [q, k, v, g, , seen] = inputs;
  const sizes = sizesOf(inputs);
  const { b, t, h, d, s } = sizes;
  if (!fitsScratch(d, 3)) return undefined;
  const blocks = Math.ceil(t / blockRows);
  return wasmKernel({
    name: 'attentionQueryGradient',
    in: namesOf(inputs),
    out: { dq },
    params: {
      ...paramsOf(sizes, offset),
      plane: b * t * h,
      blocks,
      panel: panelBytes(d),
      scale: real(scale),
    },
    items: b * h * blocks,
    cost: (Math.min(t, blockRows) * s * d) / 5,
    variant: [seen !== undefined],
    body(w, names) {
      const { t, h, d, s, kv, group, plane, blocks, panel, ofRows } = names;
      const seenBy = seen ? names.seen : undefined;
      const scale = w.let(f32x4.splat(names.scale));
      const scores = w.let(i32.add(w.scratch, 64));
      const pulls = w.let(i32.add(scores, quadBytes));
      const columnsK = w.let(i32.add(pulls, quadBytes));
      const columnsV = w.let(i32.add(columnsK, panel));
      const rowsK = w.let(i32.add(columnsV, panel));

      w.range(w.from, w.to, 1, (item) => {
        const both = w.let(i32.divU(item, blocks));
        const from = w.let(i32.mul(i32.remU(item, blocks), blockRows));
        const [batch, head] = [w.let(i32.divU(both, h)), w.let(i32.remU(both, h))];
        const there = w.let(i32.min(i32.const(blockRows), i32.sub(t, from)));
        const none = w.let(i32.const(0));
        const queries = { batch, n: t, heads: h, head, d, from };
        const keys = { batch, n: s, heads: kv, head: w.let(i32.divU(head, group)), d, from: none };
        const of = {
          q: vectorsOf(w, q, names.q, queries),
          g: vectorsOf(w, g, names.g, queries),
          k: vectorsOf(w, k, names.k, keys),
          v: vectorsOf(w, v, names.v, keys),
          dq: vectorsOf(w, dq, names.dq, queries),
        };
        zeroVectors(w, of.dq, there, d);

        /** The gradient in the scores of token i, in place of g·vᵀ. */
        const pull = (i: I32, x: I32, from: I32, range: readonly [I32, I32]) => {
          const bounds = boundsOf(w, names, seenBy, batch, i);
          const [first, last] = bounds.map((bound) => w.let(i32x4.splat(bound)));
          const row = w.let(i32.add(i32.mul(i32.add(i32.mul(batch, t), i), h), head));
          const lse = w.let(v128.load32Splat(element(ofRows, row)));
          const delta = w.let(v128.load32Splat(element(ofRows, w.let(i32.add(plane, row)))));
          eachFour(w, range, (c) => {
            const key = w.let(numbersFrom(i32.add(from, c)));
            const past = i32x4.gtS(key, last);
            const outside = w.let(seen ? v128.or(past, i32x4.ltS(key, first)) : past);
            const score = v128.load(element(rowOf(scores, x), c));
            const weight = math.exp(w, f32x4.sub(f32x4.mul(score, scale), lse));
            const place = w.let(element(rowOf(pulls, x), c));
            const value = f32x4.mul(f32x4.mul(weight, scale), f32x4.sub(v128.load(place), delta));
            w.store(place, v128.andnot(value, outside));
          });
        };

        const [begin, last] = rangeOf(w, names, seenBy, batch, [from, w.let(i32.add(from, there))]);
        w.range(begin, last, blockColumns, (key) => {
          const n = w.let(i32.min(i32.const(blockColumns), i32.sub(last, key)));
          packColumns(w, of.k, key, n, d, columnsK);
          packColumns(w, of.v, key, n, d, columnsV);
          packRows(w, of.k, key, n, d, rowsK);
          w.range(0, there, quad, (r) => {
            const some = w.let(i32.min(i32.const(quad), i32.sub(there, r)));
            const token = w.let(i32.add(from, r));
            const all = rangeOf(w, names, seenBy, batch, [token, w.let(i32.add(token, some))]);
            const range = within(w, all, key, n);
            w.if(i32.ltS(range[0], range[1]), () => {
              scoreQuad(w, { vectors: of.q, from: r, there: some }, columnsK, d, range, scores);
              scoreQuad(w, { vectors: of.g, from: r, there: some }, columnsV, d, range, pulls);
              w.range(0, some, 1, (x) => pull(w.let(i32.add(token, x)), x, key, range));
              addQuad(w, pulls, rowsK, n, d, range, { vectors: of.dq, from: r, there: some });
            });
          });
        });
      });
    },
  });
}

/**
 * dk and dv for the CPU engine. An item is 64 keys of a head, which are the rows here; 64 queries at a time
 * pass over them as columns.
 */
export function keyValueGradientsWasm(
  inputs: readonly Spec[],
  [dk, dv]: readonly Spec[],
  { scale, offset }: AttentionAttrs,
): WasmKernel | undefined {
  const [q, k, v, g, , seen] = inputs;
  const sizes = sizesOf(inputs);
  const { b, t, h, d, s, kv, group } = sizes;
  if (!fitsScratch(d, 4)) return undefined;
  const blocks = Math.ceil(s / blockRows);
  return wasmKernel({
    name: 'attentionKeyValueGradients',
    in: namesOf(inputs),
    out: { dk, dv },
    params: {
      ...paramsOf(sizes, offset),
      plane: b * t * h,
      blocks,
      panel: panelBytes(d),
      scale: real(scale),
    },
    items: b * kv * blocks,
    cost: (Math.min(s, blockRows) * t * group * d) / 4,
    variant: [seen !== undefined],
    body(w, names) {
      const { t, h, d, s, kv, group, plane, blocks, panel, ofRows } = names;
      const seenBy = seen ? names.seen : undefined;
      const scale = w.let(f32x4.splat(names.scale));
      const weights = w.let(i32.add(w.scratch, 64));
      const pulls = w.let(i32.add(weights, quadBytes));
      /** Of the queries of a block. */
      const [lses, deltas, firsts, lasts] = [0, 1, 2, 3].map((i) =>
        w.let(i32.add(pulls, quadBytes + i * 4 * blockColumns)),
      );
      const columnsQ = w.let(i32.add(lasts, 4 * blockColumns));
      const columnsG = w.let(i32.add(columnsQ, panel));
      const rowsQ = w.let(i32.add(columnsG, panel));
      const rowsG = w.let(i32.add(rowsQ, panel));

      w.range(w.from, w.to, 1, (item) => {
        const both = w.let(i32.divU(item, blocks));
        const from = w.let(i32.mul(i32.remU(item, blocks), blockRows));
        const [batch, kvHead] = [w.let(i32.divU(both, kv)), w.let(i32.remU(both, kv))];
        const there = w.let(i32.min(i32.const(blockRows), i32.sub(s, from)));
        const end = w.let(i32.add(from, there));
        const keys = { batch, n: s, heads: kv, head: kvHead, d, from };
        const of = {
          k: vectorsOf(w, k, names.k, keys),
          v: vectorsOf(w, v, names.v, keys),
          dk: vectorsOf(w, dk, names.dk, keys),
          dv: vectorsOf(w, dv, names.dv, keys),
        };
        zeroVectors(w, of.dk, there, d);
        zeroVectors(w, of.dv, there, d);

        /** Weights and the gradient in the scores of a key, in place of k·qᵀ and v·gᵀ. */
        const pull = (key: I32, x: I32, range: readonly [I32, I32]) => {
          const place = w.let(i32x4.splat(key));
          eachFour(w, range, (c) => {
            const inQuad = w.let(element(rowOf(w.let(i32.const(0)), x), c));
            const [weightAt, pullAt] = [w.let(i32.add(weights, inQuad)), w.let(i32.add(pulls, inQuad))];
            const past = i32x4.gtS(place, v128.load(element(lasts, c)));
            const outside = w.let(v128.or(past, i32x4.ltS(place, v128.load(element(firsts, c)))));
            const score = f32x4.mul(v128.load(weightAt), scale);
            const weight = math.exp(w, f32x4.sub(score, v128.load(element(lses, c))));
            const ofSeen = w.let(v128.andnot(weight, outside));
            w.store(weightAt, ofSeen);
            const pulled = f32x4.sub(v128.load(pullAt), v128.load(element(deltas, c)));
            w.store(pullAt, v128.andnot(f32x4.mul(f32x4.mul(ofSeen, scale), pulled), outside));
          });
        };

        // Without a tensor that says what is seen, earlier queries see none of these keys.
        const begin = w.let(i32.const(0));
        if (!seen) w.set(begin, i32.and(positive(i32.sub(from, names.offset)), -blockColumns));
        const firstHead = w.let(i32.mul(kvHead, group));
        w.range(firstHead, w.let(i32.add(firstHead, group)), 1, (head) => {
          const none = w.let(i32.const(0));
          const queries = { batch, n: t, heads: h, head, d, from: none };
          const ofHead = { q: vectorsOf(w, q, names.q, queries), g: vectorsOf(w, g, names.g, queries) };
          w.range(begin, t, blockColumns, (query) => {
            const n = w.let(i32.min(i32.const(blockColumns), i32.sub(t, query)));
            const range = rangeOf(w, names, seenBy, batch, [query, w.let(i32.add(query, n))]);
            const meets = i32.and(i32.ltS(range[0], end), i32.gtS(range[1], from));
            w.if(meets, () => {
              w.range(0, blockColumns, 1, (c) => {
                // Past the last query nothing is seen.
                const token = w.let(i32.add(query, i32.min(c, i32.sub(n, 1))));
                const row = w.let(i32.add(i32.mul(i32.add(i32.mul(batch, t), token), h), head));
                const [first, last] = boundsOf(w, names, seenBy, batch, token);
                w.store(element(lses, c), i32.load(element(ofRows, row)));
                w.store(element(deltas, c), i32.load(element(ofRows, w.let(i32.add(plane, row)))));
                w.store(element(firsts, c), i32.select(first, s, i32.ltS(c, n)));
                w.store(element(lasts, c), last);
              });
              packColumns(w, ofHead.q, query, n, d, columnsQ);
              packColumns(w, ofHead.g, query, n, d, columnsG);
              packRows(w, ofHead.q, query, n, d, rowsQ);
              packRows(w, ofHead.g, query, n, d, rowsG);
              w.range(0, there, quad, (r) => {
                const some = w.let(i32.min(i32.const(quad), i32.sub(there, r)));
                const key = w.let(i32.add(from, r));
                const first = seen ? query : w.let(i32.sub(key, names.offset));
                const seeing = within(w, [first, w.let(i32.add(query, n))], query, n);
                w.if(i32.ltS(seeing[0], seeing[1]), () => {
                  scoreQuad(w, { vectors: of.k, from: r, there: some }, columnsQ, d, seeing, weights);
                  scoreQuad(w, { vectors: of.v, from: r, there: some }, columnsG, d, seeing, pulls);
                  w.range(0, some, 1, (x) => pull(w.let(i32.add(key, x)), x, seeing));
                  addQuad(w, pulls, rowsQ, n, d, seeing, { vectors: of.dk, from: r, there: some });
                  addQuad(w, weights, rowsG, n, d, seeing, { vectors: of.dv, from: r, there: some });
                });
              });
            });
          });
        });
      });
    },
  });
}

const positive = (x: I32): I32 => i32.select(x, 0, i32.gtS(x, 0));
