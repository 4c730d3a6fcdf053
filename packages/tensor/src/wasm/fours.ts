import type { Body } from './body.ts';
import { type I32, i32, i32x4, shuffle32, type V128, v128 } from './values.ts';

/** Four elements of a row, or in its last turn those that there are. */
export interface Four {
  /** Writes the elements that there are. */
  store(address: I32, value: V128): void;
  /** The value, with `otherwise` in lanes past the row's end: for sums and maxima. */
  only(value: V128, otherwise: V128): V128;
}

/** All four of them. */
export const wholeFour = (w: Body): Four => ({
  store: (address, value) => w.store(address, value),
  only: (value) => value,
});

/** For j = 0, 4, 8, … below n: the statements, written once for whole fours and once for the rest. */
export function fours(w: Body, n: I32, statements: (j: I32, four: Four) => void): void {
  const whole = w.let(i32.and(n, -4));
  w.range(0, whole, 4, (j) => statements(j, wholeFour(w)));
  w.if(i32.ltS(whole, n), () => statements(whole, firstOf(w, w.let(i32.and(n, 3)))));
}

/** The first of four elements: as many as `count` says, 1 or more. */
export function firstOf(w: Body, count: I32): Four {
  const there = w.let(i32x4.ltS(i32x4.const(0, 1, 2, 3), i32x4.splat(count)));
  return {
    store(address, value) {
      const [at, four] = [w.let(address), w.let(value)];
      const lanes = () => {
        w.storeLane32(at, four, 0);
        for (const lane of [1, 2]) {
          w.if(i32.gtS(count, lane), () => w.storeLane32(at, four, lane, 4 * lane));
        }
      };
      w.if(i32.gtS(count, 3), () => w.store(at, four), lanes);
    },
    only: (value, otherwise) => v128.bitselect(value, otherwise, there),
  };
}

/** The address of element i of four-byte elements. */
export const element = (array: I32, i: I32): I32 => i32.add(array, i32.shl(i, 2));

/** Copies n elements of four bytes from one place to another that does not overlap it. */
export function copyRow(w: Body, to: I32, from: I32, n: I32): void {
  fours(w, n, (j, four) => four.store(element(to, j), v128.load(element(from, j))));
}

/** The columns of a matrix of four rows, which must have names. */
export function transpose4(w: Body, [x, y, z, u]: readonly V128[]): readonly V128[] {
  const halves = [
    [0, 4, 1, 5],
    [2, 6, 3, 7],
  ];
  return halves.flatMap((lanes) => {
    const [above, below] = [w.let(shuffle32(x, y, lanes)), w.let(shuffle32(z, u, lanes))];
    return [shuffle32(above, below, [0, 1, 4, 5]), shuffle32(above, below, [2, 3, 6, 7])];
  });
}
