import { type Body, f32x4, type I32, type Index, i32, multiplyAdd, v128 } from '../../../wasm/index.ts';
import { indices, rowPointers } from './elements.ts';

/** What the code of a tile depends on. */
export interface TileForm {
  readonly rows: number;
  /** Of four columns each. */
  readonly vectors: number;
  /** True where a is [k, rows], false where it is [rows, k]. */
  readonly transposeA: boolean;
}

/** Where a tile lies and how much of it there is: addresses, and steps from row to row, in bytes. */
export interface TilePlace {
  readonly a: I32;
  readonly stepA: I32;
  readonly b: I32;
  /** A number, known when the code is written, lets a turn of the inner loop take four rows of b. */
  readonly stepB: Index;
  readonly c: I32;
  readonly stepC: I32;
  /** Those that there are: at least one, and perhaps more than the tile has. */
  readonly rows: I32;
  readonly columns: I32;
  readonly k: I32;
  /** What the sums begin with, its rows `stepC` apart as those of c; 0: with 0. */
  readonly start: I32;
  /** Memory for a row of the tile. */
  readonly row: I32;
}

/**
 * The micro-kernel: c [rows, columns] = start + a [rows, k] · b [k, columns] in f32, its sums in registers. A
 * step along k spreads one element of each row of a over a vector, and multiplies it with the vectors of one
 * row of b.
 */
export function tile(w: Body, { rows: count, vectors, transposeA }: TileForm, place: TilePlace): void {
  const rows = indices(count);
  const sums = rows.map(() => indices(vectors).map(() => w.local('v128')));
  const rowsOfC = rows.map((i) => w.let(i32.add(place.c, i32.mul(place.stepC, i))));
  const forRowsThere = (statements: (i: number) => void) => {
    for (const i of rows) w.if(i32.gtS(place.rows, i), () => statements(i));
  };
  const forVectorsThere = (statements: (v: number) => void) => {
    for (const v of indices(vectors)) w.if(i32.gtS(place.columns, 4 * v), () => statements(v));
  };

  const start = w.let(place.start);
  const load = () =>
    forRowsThere((i) => {
      const row = w.let(i32.add(start, i32.mul(place.stepC, i)));
      forVectorsThere((v) => w.set(sums[i][v], v128.load(row, 16 * v)));
    });
  const zero = () => {
    for (const sum of sums.flat()) w.set(sum, f32x4.const(0));
  };
  w.if(start, load, zero);

  const a = transposeA ? [w.let(place.a)] : rowPointers(w, count, place.a, place.stepA, place.rows);
  const b = w.let(place.b);
  const [rowOfB, unrolled] = typeof place.stepB === 'number' ? [place.stepB, 4] : [0, 1];
  const steps = (turns: number) => {
    for (let q = 0; q < turns; q++) {
      const columnOfA = rows.map((i) =>
        w.let(transposeA ? v128.load32Splat(a[0], 4 * i) : v128.load32Splat(a[i], 4 * q)),
      );
      // The `if` also bounds what V8 may reorder: left to itself it puts all loads first, then all products,
      // then all sums, and runs out of registers.
      forVectorsThere((v) => {
        const y = w.let(v128.load(b, q * rowOfB + 16 * v));
        for (const i of rows) w.set(sums[i][v], multiplyAdd(columnOfA[i], y, sums[i][v]));
      });
      if (transposeA) w.set(a[0], i32.add(a[0], place.stepA));
    }
    if (!transposeA) for (const row of a) w.set(row, i32.add(row, 4 * turns));
    w.set(b, i32.add(b, turns > 1 ? turns * rowOfB : place.stepB));
  };
  const left = w.let(place.k);
  for (const turns of unrolled > 1 ? [unrolled, 1] : [1]) {
    w.while(i32.geS(left, turns), () => {
      steps(turns);
      w.set(left, i32.sub(left, turns));
    });
  }

  const storeRow = (address: I32, i: number) => {
    for (const [v, sum] of sums[i].entries()) w.store(address, sum, 16 * v);
  };
  const whole = () => forRowsThere((i) => storeRow(rowsOfC[i], i));
  const partly = () =>
    forRowsThere((i) => {
      storeRow(place.row, i);
      w.copy(rowsOfC[i], place.row, i32.shl(place.columns, 2));
    });
  w.if(i32.geS(place.columns, 4 * vectors), whole, partly);
}
