import type { Spec } from '../../../shape.ts';
import {
  type Body,
  f32x4,
  i32,
  i32x4,
  type Local,
  multiplyAdd,
  shuffle32,
  type V128,
  v128,
  type WasmKernel,
  wasmKernel,
} from '../../../wasm/index.ts';
import type { Problem } from '../problem.ts';
import { type Elements, elementsOf, indices, rowPointers } from './elements.ts';

/** Sums that are under way at once, each a vector: so many hide how long an addition takes. */
const sumsAtOnce = 8;

/**
 * The product of up to eight rows with bᵀ, b [n, k]: dot products along k of all rows with the same rows of b, which
 * are read once.
 */
export function dotsKernel(p: Problem, [a, b]: readonly Spec[], c: Spec): WasmKernel {
  const rows = 2 ** Math.ceil(Math.log2(p.m));
  const columns = sumsAtOnce / rows;
  const [elementsA, elementsB] = [elementsOf(a), elementsOf(b)];
  const strips = Math.ceil(p.n / columns);
  return wasmKernel({
    name: 'dots',
    in: { a, b },
    out: { c },
    params: {
      m: p.m,
      n: p.n,
      k: p.k,
      matrixA: elementsA.bytes * p.strideA,
      matrixB: elementsB.bytes * p.strideB,
      strips,
    },
    items: p.batch * strips,
    cost: 10 + (sumsAtOnce * p.k) / 10,
    variant: [rows],
    body(w, v) {
      const stepA = w.let(i32.mul(v.k, elementsA.bytes));
      const stepB = w.let(i32.mul(v.k, elementsB.bytes));
      const stepC = w.let(i32.shl(v.n, 2));
      w.range(w.from, w.to, 1, (item) => {
        const matrix = w.let(i32.divU(item, v.strips));
        const j = w.let(i32.mul(i32.remU(item, v.strips), columns));
        const there = w.let(i32.sub(v.n, j));
        const firstA = i32.add(v.a, i32.mul(matrix, v.matrixA));
        const firstB = i32.add(i32.add(v.b, i32.mul(matrix, v.matrixB)), i32.mul(j, stepB));
        const x = rowPointers(w, rows, w.let(firstA), stepA, v.m);
        const y = rowPointers(w, columns, w.let(firstB), stepB, there);
        const sums = y.map(() => x.map(() => w.let(f32x4.const(0))));

        /** So many fours along k, of the elements that `only` leaves. */
        const steps = (count: number, only: (four: Local<'v128'>) => V128 = (four) => four) => {
          const fours = (elements: Elements, row: Local<'i32'>, q: number) =>
            w.let(only(elements.load(w, row, 4 * elements.bytes * q)));
          for (const q of indices(count)) {
            const first = rows <= 4 ? x.map((row) => fours(elementsA, row, q)) : [];
            y.forEach((row, c) => {
              const four = fours(elementsB, row, q);
              // The `if` bounds what V8 may reorder, as in `tile`.
              for (let r = 0; r < rows; r += 2) {
                w.if(rows > 4 ? i32.gtS(v.m, r) : i32.gtS(there, c), () => {
                  for (const i of indices(rows).slice(r, r + 2)) {
                    const other = first[i] ?? fours(elementsA, x[i], q);
                    w.set(sums[c][i], multiplyAdd(other, four, sums[c][i]));
                  }
                });
              }
            });
          }
          for (const row of x) w.set(row, i32.add(row, 4 * elementsA.bytes * count));
          for (const row of y) w.set(row, i32.add(row, 4 * elementsB.bytes * count));
        };
        const left = w.let(v.k);
        for (const count of [2, 1]) {
          w.while(i32.geS(left, 4 * count), () => {
            steps(count);
            w.set(left, i32.sub(left, 4 * count));
          });
        }
        w.if(left, () => {
          const there = w.let(i32x4.ltS(i32x4.const(0, 1, 2, 3), i32x4.splat(left)));
          steps(1, (four) => v128.and(four, there));
        });

        const to = w.let(i32.add(i32.add(v.c, i32.mul(i32.mul(matrix, v.m), stepC)), i32.shl(j, 2)));
        indices(rows).forEach((i) =>
          w.if(i32.gtS(v.m, i), () =>
            sums.forEach((column, c) =>
              w.if(i32.gtS(there, c), () =>
                w.storeLane32(i32.add(to, i32.mul(stepC, i)), sumOfLanes(w, column[i]), 0, 4 * c),
              ),
            ),
          ),
        );
      });
    },
  });
}

/** The sum of the lanes, in the first of them. */
function sumOfLanes(w: Body, x: V128): V128 {
  const pairs = w.let(f32x4.add(x, shuffle32(x, x, [2, 3, 2, 3])));
  return f32x4.add(pairs, shuffle32(pairs, pairs, [1, 1, 1, 1]));
}
