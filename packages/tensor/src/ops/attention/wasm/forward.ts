import { f32 as real } from '../../../kernel-record.ts';
import type { Spec } from '../../../shape.ts';
import {
  element,
  f32,
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
  addRow,
  blockColumns,
  blockRows,
  boundsOf,
  eachFour,
  firstMaximum,
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
  scaleVector,
  scoreQuad,
  scoreRow,
  together,
  unseenScore,
  vectorAt,
  vectorsOf,
  within,
  zeroVectors,
} from './blocks.ts';

/** Queries of a text for which keys and values are read as they lie: packing them would cost more. */
const fewQueries = 2;

/**
 * Attention for the CPU engine, or undefined where vectors are too long for a thread's scratch memory. An
 * item is 64 queries of a head, which pass over 64 keys at a time with a running maximum and sum.
 */
export function attentionWasm(
  inputs: readonly Spec[],
  [mixed, lse]: readonly Spec[],
  { scale, offset }: AttentionAttrs,
): WasmKernel | undefined {
  const [q, k, v, seen] = inputs;
  const sizes = sizesOf(inputs);
  const { b, t, h, d, s } = sizes;
  if (!fitsScratch(d, 2)) return undefined;
  const few = t <= fewQueries;
  const blocks = Math.ceil(t / blockRows);
  return wasmKernel({
    name: 'attention',
    in: { q, k, v, ...(seen && { seen }) } as Readonly<Record<'q' | 'k' | 'v' | 'seen', Spec>>,
    out: { mixed, lse },
    params: { ...paramsOf(sizes, offset), blocks, panel: panelBytes(d), scale: real(scale) },
    items: b * h * blocks,
    cost: (Math.min(t, blockRows) * s * d) / 8,
    variant: [seen !== undefined, few],
    body(w, names) {
      const { t, h, d, s, kv, group, blocks, panel } = names;
      const seenBy = seen ? names.seen : undefined;
      const scale = w.let(f32x4.splat(names.scale));
      const scores = w.let(i32.add(w.scratch, 64));
      const [tops, totals] = [w.let(i32.add(scores, quadBytes)), w.local('i32')];
      w.set(totals, i32.add(tops, 4 * blockRows));
      const columns = w.let(i32.add(totals, 4 * blockRows));
      const rows = w.let(i32.add(columns, panel));

      w.range(w.from, w.to, 1, (item) => {
        const both = w.let(i32.divU(item, blocks));
        const from = w.let(i32.mul(i32.remU(item, blocks), blockRows));
        const [batch, head] = [w.let(i32.divU(both, h)), w.let(i32.remU(both, h))];
        const there = w.let(i32.min(i32.const(blockRows), i32.sub(t, from)));
        const end = w.let(i32.add(from, there));
        const none = w.let(i32.const(0));
        const queries = { batch, n: t, heads: h, head, d, from };
        const keys = { batch, n: s, heads: kv, head: w.let(i32.divU(head, group)), d, from: none };
        const of = {
          q: vectorsOf(w, q, names.q, queries),
          k: vectorsOf(w, k, names.k, keys),
          v: vectorsOf(w, v, names.v, keys),
          mixed: vectorsOf(w, mixed, names.mixed, queries),
        };
        zeroVectors(w, of.mixed, there, d);
        w.range(0, there, 1, (r) => {
          w.store(element(tops, r), f32.const(firstMaximum));
          w.store(element(totals, r), f32.const(0));
        });

        /** The weights of a row of scores, and what it was before in the measure of the new maximum. */
        const weigh = (
          r: I32,
          row: I32,
          from: I32,
          range: readonly [I32, I32],
          bounds: readonly [I32, I32],
        ) => {
          const [first, last] = bounds.map((bound) => w.let(i32x4.splat(bound)));
          const top = w.let(v128.load32Splat(element(tops, r)));
          const highest = w.let(top);
          eachFour(w, range, (c) => {
            const place = w.let(element(row, c));
            const key = w.let(numbersFrom(i32.add(from, c)));
            const past = i32x4.gtS(key, last);
            const outside = seen ? v128.or(past, i32x4.ltS(key, first)) : past;
            const score = f32x4.mul(v128.load(place), scale);
            const masked = w.let(v128.bitselect(f32x4.const(unseenScore), score, outside));
            w.store(place, masked);
            w.set(highest, f32x4.pmax(highest, masked));
          });
          const newTop = together(w, highest, f32x4.pmax);
          const sum = w.let(f32x4.const(0));
          eachFour(w, range, (c) => {
            const place = w.let(element(row, c));
            const weight = math.exp(w, f32x4.sub(v128.load(place), newTop));
            w.store(place, weight);
            w.set(sum, f32x4.add(sum, weight));
          });
          const before = math.exp(w, f32x4.sub(top, newTop));
          const total = f32x4.mul(v128.load32Splat(element(totals, r)), before);
          w.storeLane32(element(totals, r), f32x4.add(total, together(w, sum, f32x4.add)), 0);
          w.storeLane32(element(tops, r), newTop, 0);
          w.if(v128.anyTrue(f32x4.ne(before, f32x4.const(1))), () =>
            scaleVector(w, w.let(vectorAt(of.mixed, r)), d, before),
          );
        };

        const [begin, last] = rangeOf(w, names, seenBy, batch, [from, end]);
        w.range(begin, last, blockColumns, (key) => {
          const n = w.let(i32.min(i32.const(blockColumns), i32.sub(last, key)));
          if (!few) {
            packColumns(w, of.k, key, n, d, columns);
            packRows(w, of.v, key, n, d, rows);
          }
          w.range(0, there, few ? 1 : quad, (r) => {
            const some = w.let(few ? i32.const(1) : i32.min(i32.const(quad), i32.sub(there, r)));
            const token = w.let(i32.add(from, r));
            const all = rangeOf(w, names, seenBy, batch, [token, w.let(i32.add(token, some))]);
            const range = within(w, all, key, n);
            w.if(i32.ltS(range[0], range[1]), () => {
              if (few) scoreRow(w, w.let(vectorAt(of.q, r)), of.k, key, d, range, scores);
              else scoreQuad(w, { vectors: of.q, from: r, there: some }, columns, d, range, scores);
              w.range(0, some, 1, (x) => {
                const i = w.let(i32.add(r, x));
                const bounds = boundsOf(w, names, seenBy, batch, w.let(i32.add(from, i)));
                weigh(i, w.let(rowOf(scores, x)), key, range, bounds);
              });
              if (few) addRow(w, scores, of.v, key, d, range, w.let(vectorAt(of.mixed, r)));
              else addQuad(w, scores, rows, n, d, range, { vectors: of.mixed, from: r, there: some });
            });
          });
        });

        w.range(0, there, 1, (r) => {
          const total = w.let(v128.load32Splat(element(totals, r)));
          scaleVector(w, w.let(vectorAt(of.mixed, r)), d, w.let(f32x4.div(f32x4.const(1), total)));
          const sum = f32x4.add(v128.load32Splat(element(tops, r)), math.log(w, total));
          const row = i32.add(i32.mul(i32.add(i32.mul(batch, t), i32.add(from, r)), h), head);
          w.storeLane32(element(names.lse, row), w.let(sum), 0);
        });
      });
    },
  });
}
