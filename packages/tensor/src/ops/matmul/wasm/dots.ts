import { bytesPerElement, type Spec } from '../../../shape.ts';
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
import { bytesFor, elementsOf, elementsOfB, indices, inputsOf, rowPointers } from './elements.ts';

/** Rows of b at a time: so many sums under way hide how long an addition takes. */
const columns = 4;

/** The product of one or two rows with bᵀ, b [n, k]: dot products along k with rows of b, each read once. */
export function dotsKernel(p: Problem, [a, b, plus]: readonly Spec[], c: Spec): WasmKernel {
  const rows = p.m;
  const elementsA = elementsOf(a);
  const strips = Math.ceil(p.n / columns);
  return wasmKernel({
    name: 'dots',
    in: inputsOf(a, b, plus),
    out: { c },
    params: {
      n: p.n,
      k: p.k,
      matrixA: elementsA.bytes * p.strideA,
      matrixB: bytesPerElement[b.dtype] * p.strideB,
      strips,
      ...p.scalesB,
    },
    items: p.batch * strips,
    cost: 10 + (rows * columns * p.k) / 10,
    variant: [rows],
    body(w, v) {
      const elementsB = elementsOfB(w, b, v);
      const stepA = w.let(i32.mul(v.k, elementsA.bytes));
      const stepB = w.let(bytesFor(elementsB, v.k));
      const stepC = w.let(i32.shl(v.n, 2));
      const [whole, rest] = [w.let(i32.and(v.k, -4)), w.let(i32.and(v.k, 3))];
      const lanesOfRest = w.let(i32x4.ltS(i32x4.const(0, 1, 2, 3), i32x4.splat(rest)));
      w.range(w.from, w.to, 1, (item) => {
        const matrix = w.let(i32.divU(item, v.strips));
        const j = w.let(i32.mul(i32.remU(item, v.strips), columns));
        const there = w.let(i32.sub(v.n, j));
        const firstA = i32.add(v.a, i32.mul(matrix, v.matrixA));
        const firstB = i32.add(i32.add(v.b, i32.mul(matrix, v.matrixB)), i32.mul(j, stepB));
        const rowsOfA = rowPointers(w, rows, w.let(firstA), stepA, w.let(i32.const(rows)));
        const rowsOfB = rowPointers(w, columns, w.let(firstB), stepB, there);
        const sums = indices(rows).map(() => indices(columns).map(() => w.let(f32x4.const(0))));

        /** Four steps along k, of which `only` leaves what there is. */
        const step = (only: (four: Local<'v128'>) => Local<'v128'>) => {
          const foursOfA = rowsOfA.map((row) => only(elementsA.load(w, row)));
          const foursOfB = rowsOfB.map((row) => only(elementsB.load(w, row)));
          for (const [i, x] of foursOfA.entries()) {
            for (const [j, y] of foursOfB.entries()) w.set(sums[i][j], multiplyAdd(x, y, sums[i][j]));
          }
          for (const row of rowsOfA) w.set(row, i32.add(row, 4 * elementsA.bytes));
          for (const row of rowsOfB) w.set(row, i32.add(row, 4 * elementsB.bytes));
        };
        w.range(0, whole, 4, () => step((four) => four));
        w.if(rest, () => step((four) => w.let(v128.and(four, lanesOfRest))));

        const place = w.let(i32.add(i32.mul(i32.mul(matrix, rows), stepC), i32.shl(j, 2)));
        for (const row of sums) {
          row.forEach((sum, j) => {
            const total = () => {
              const product = sumOfLanes(w, sum);
              return p.plus ? f32x4.add(v128.load32Splat(i32.add(v.plus, place), 4 * j), product) : product;
            };
            w.if(i32.gtS(there, j), () => w.storeLane32(i32.add(v.c, place), total(), 0, 4 * j));
          });
          w.set(place, i32.add(place, stepC));
        }
      });
    },
  });
}

/** The sum of the lanes, in the first of them. */
function sumOfLanes(w: Body, x: V128): V128 {
  const pairs = w.let(f32x4.add(x, shuffle32(x, x, [2, 3, 2, 3])));
  return f32x4.add(pairs, shuffle32(pairs, pairs, [1, 1, 1, 1]));
}
