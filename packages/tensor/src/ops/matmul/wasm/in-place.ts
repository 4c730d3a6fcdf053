import type { Spec } from '../../../shape.ts';
import { i32, type WasmKernel, wasmKernel } from '../../../wasm/index.ts';
import type { Problem } from '../problem.ts';
import { inputsOf } from './elements.ts';
import { tile } from './tile.ts';

/**
 * The product of few rows with b [k, n], both f32: the micro-kernel on what lies in memory, b being read once
 * for every four rows. One row makes tiles of 16 columns, more of them tiles of 8.
 */
export function inPlaceKernel(p: Problem, [a, b, plus]: readonly Spec[], c: Spec): WasmKernel {
  const [rows, vectors] = p.m === 1 ? [1, 4] : [4, 2];
  const columns = 4 * vectors;
  const strips = Math.ceil(p.n / columns);
  return wasmKernel({
    name: 'in place',
    in: inputsOf(a, b, plus),
    out: { c },
    params: {
      m: p.m,
      n: p.n,
      k: p.k,
      matrixA: 4 * p.strideA,
      matrixB: 4 * p.strideB,
      strips,
    },
    items: p.batch * strips,
    cost: 10 + (p.m * columns * p.k) / 10,
    variant: [rows, p.transposeA],
    body(w, v) {
      const stepA = w.let(i32.shl(p.transposeA ? v.m : v.k, 2));
      const stepB = w.let(i32.shl(v.n, 2));
      const stepC = w.let(i32.shl(v.n, 2));
      const none = w.let(i32.const(0));
      w.range(w.from, w.to, 1, (item) => {
        const matrix = w.let(i32.divU(item, v.strips));
        const j = w.let(i32.mul(i32.remU(item, v.strips), columns));
        const a = w.let(i32.add(v.a, i32.mul(matrix, v.matrixA)));
        const b = w.let(i32.add(i32.add(v.b, i32.mul(matrix, v.matrixB)), i32.shl(j, 2)));
        const firstOfC = w.let(i32.add(i32.mul(i32.mul(matrix, v.m), stepC), i32.shl(j, 2)));
        const there = w.let(i32.sub(v.n, j));
        w.range(0, v.m, rows, (i) => {
          const place = w.let(i32.add(firstOfC, i32.mul(i, stepC)));
          const form = { rows, vectors, transposeA: p.transposeA };
          tile(w, form, {
            a: i32.add(a, p.transposeA ? i32.shl(i, 2) : i32.mul(i, stepA)),
            stepA,
            b,
            stepB,
            c: i32.add(v.c, place),
            stepC,
            rows: w.let(i32.sub(v.m, i)),
            columns: there,
            k: v.k,
            start: p.plus ? i32.add(v.plus, place) : none,
            row: w.scratch,
          });
        });
      });
    },
  });
}
