import { type Body, f32x4, type I32, type Index, i32, multiplyAdd, v128 } from '../../../wasm/index.ts';
import { type Elements, indices, rowPointers } from './elements.ts';

/** What the code of a tile depends on. */
export interface TileForm {
  readonly rows: number;
  /** Of four columns each. */
  readonly vectors: number;
  readonly a: Elements;
  readonly b: Elements;
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
  /** Not 0: c holds a sum to add to. */
  readonly more: I32;
  /** Memory for a row of the tile. */
  readonly row: I32;
}

/**
 * The micro-kernel: c [rows, columns] (+)= a [rows, k] · b [k, columns], its sums in registers. A step along k spreads
 * one element of each row of a over a vector, and multiplies it with the vectors of one row of b.
 */
export function tile(w: Body, form: TileForm, place: TilePlace): void {
  const { transposeA, vectors } = form;
  const rows = indices(form.rows);
  const sums = rows.map(() => indices(vectors).map(() => w.local('v128')));
  const rowsOfC = rows.map((i) => w.let(i32.add(place.c, i32.mul(place.stepC, i))));
  const isThere = (i: number) => i32.gtS(place.rows, i);

  const begin = () => {
    for (const sum of sums.flat()) w.set(sum, f32x4.const(0));
  };
  const resume = () => {
    for (const i of rows) {
      w.if(isThere(i), () => {
        sums[i].forEach((sum, v) => {
          w.if(i32.gtS(place.columns, 4 * v), () => w.set(sum, v128.load(rowsOfC[i], 16 * v)));
        });
      });
    }
  };
  w.if(place.more, resume, begin);

  const a = transposeA ? [w.let(place.a)] : rowPointers(w, form.rows, place.a, place.stepA, place.rows);
  const b = w.let(place.b);
  /** Bytes, where they are known now. */
  const rowOfB = typeof place.stepB === 'number' ? place.stepB : 0;
  /** Steps along k: so many rows of b. */
  const steps = (count: number) => {
    for (let q = 0; q < count; q++) {
      const columnOfA = rows.map((i) =>
        transposeA ? form.a.splat(w, a[0], i * form.a.bytes) : form.a.splat(w, a[i], q * form.a.bytes),
      );
      // The `if` skips columns that are not there, and bounds what V8 may reorder: left to itself it puts all loads
      // first, then all products, then all sums, and has too few registers for that.
      for (const v of indices(vectors)) {
        w.if(i32.gtS(place.columns, 4 * v), () => {
          const y = form.b.load(w, b, q * rowOfB + 4 * form.b.bytes * v);
          for (const i of rows) w.set(sums[i][v], multiplyAdd(columnOfA[i], y, sums[i][v]));
        });
      }
      if (transposeA) w.set(a[0], i32.add(a[0], place.stepA));
    }
    if (!transposeA) for (const row of a) w.set(row, i32.add(row, count * form.a.bytes));
    w.set(b, i32.add(b, rowOfB > 0 ? count * rowOfB : place.stepB));
  };
  const left = w.let(place.k);
  for (const count of rowOfB > 0 ? [4, 1] : [1]) {
    w.while(i32.geS(left, count), () => {
      steps(count);
      w.set(left, i32.sub(left, count));
    });
  }

  const whole = () => {
    for (const i of rows)
      w.if(isThere(i), () => sums[i].forEach((sum, v) => w.store(rowsOfC[i], sum, 16 * v)));
  };
  const partly = () => {
    for (const i of rows) {
      w.if(isThere(i), () => {
        sums[i].forEach((sum, v) => w.store(place.row, sum, 16 * v));
        w.copy(rowsOfC[i], place.row, i32.shl(place.columns, 2));
      });
    }
  };
  w.if(i32.geS(place.columns, 4 * vectors), whole, partly);
}
