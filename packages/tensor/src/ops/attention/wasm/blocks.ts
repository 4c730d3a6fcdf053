import type { Spec } from '../../../shape.ts';
import {
  type Body,
  element,
  f32x4,
  firstOf,
  type I32,
  i32,
  i32x4,
  type KernelBody,
  type Local,
  multiplyAdd,
  scratchBytes,
  shuffle32,
  transpose4,
  type V128,
  v128,
} from '../../../wasm/index.ts';
import { type Elements, elementsOf, rowPointers } from '../../matmul/wasm/elements.ts';
import { pack } from '../../matmul/wasm/pack.ts';
import { tile } from '../../matmul/wasm/tile.ts';
import type { AttentionSizes } from '../problem.ts';

// A head's scores are computed in blocks of so many rows and columns, four rows at a time: queries are the
// rows and keys the columns, or the other way round for the gradients of keys and values.

/** Rows of an item. What is packed of the columns is packed for so many. */
export const blockRows = 64;
/** Columns at a time. */
export const blockColumns = 64;
/** Rows at a time: those of the micro-kernel. */
export const quad = 4;
/** Columns of the micro-kernel. */
const lanes = 8;

/** Far below every score, and between the two the first maximum: weights of what is not seen are then 0. */
export const unseenScore = -1e30;
export const firstMaximum = -1e29;

/** Bytes of a quad of rows of scores. */
export const quadBytes = 4 * quad * blockColumns;
const rowOfQuad = 4 * blockColumns;

/** Bytes for the columns of a block, packed either way. */
export const panelBytes = (d: number): number => 4 * blockColumns * lanes * Math.ceil(d / lanes);

/** Whether a thread's scratch memory holds so many panels, and a few quads and rows besides. */
export const fitsScratch = (d: number, panels: number): boolean =>
  panels * panelBytes(d) + 4 * quadBytes + 8 * 4 * blockRows <= scratchBytes;

/** Vectors of one head in a tensor [b, n, heads, d]: vector i is `step` bytes after vector i − 1. */
export interface Vectors {
  readonly elements: Elements;
  readonly first: I32;
  readonly step: I32;
}

/** The vectors of a head, from number `from` on. */
export function vectorsOf(
  w: Body,
  spec: Spec,
  address: I32,
  at: { batch: I32; n: I32; heads: I32; head: I32; d: I32; from: I32 },
): Vectors {
  const elements = elementsOf(spec);
  const row = i32.add(i32.mul(at.batch, at.n), at.from);
  const vector = i32.mul(i32.add(i32.mul(row, at.heads), at.head), at.d);
  return {
    elements,
    first: w.let(i32.add(address, i32.mul(vector, elements.bytes))),
    step: w.let(i32.mul(i32.mul(at.heads, at.d), elements.bytes)),
  };
}

/** The address of vector i. */
export const vectorAt = ({ first, step }: Vectors, i: I32): I32 => i32.add(first, i32.mul(i, step));

/** Packs n vectors from number `from` on as columns of a product along d. */
export function packColumns(w: Body, x: Vectors, from: I32, n: I32, d: I32, to: I32): void {
  const depth = w.let(depthOf(d));
  w.range(0, n, lanes, (j) => {
    const address = vectorAt(x, i32.add(from, j));
    const width = w.let(i32.sub(n, j));
    const part = { elements: x.elements, along: true, address: w.let(address), step: x.step, width, k: d };
    pack(w, part, lanes, i32.add(to, i32.mul(j, depth)));
  });
}

/** Bytes of a packed column: they are written in fours. */
const depthOf = (d: I32): I32 => i32.shl(i32.and(i32.add(d, 3), -4), 2);

/** Packs n vectors from number `from` on as rows, which products of weights add up. */
export function packRows(w: Body, x: Vectors, from: I32, n: I32, d: I32, to: I32): void {
  const { elements, step } = x;
  const first = w.let(vectorAt(x, from));
  w.range(0, d, lanes, (c) => {
    const address = w.let(i32.add(first, i32.mul(c, elements.bytes)));
    const width = w.let(i32.sub(d, c));
    pack(w, { elements, along: false, address, step, width, k: n }, lanes, panelOfRows(to, c, n));
  });
}

const panelOfRows = (panels: I32, c: I32, n: I32): I32 => i32.add(panels, i32.shl(i32.mul(c, n), 2));

/** scores [quad, columns] = rows · packed columns, from column `begin` on, a multiple of 8, up to `end`. */
export function scoreQuad(
  w: KernelBody,
  rows: { vectors: Vectors; from: I32; there: I32 },
  panels: I32,
  d: I32,
  [begin, end]: readonly [I32, I32],
  scores: I32,
): void {
  const depth = w.let(depthOf(d));
  const a = w.let(vectorAt(rows.vectors, rows.from));
  const all = w.let(i32.const(lanes));
  const none = w.let(i32.const(0));
  const stepC = w.let(i32.const(rowOfQuad));
  w.range(begin, end, lanes, (j) => {
    tile(
      w,
      { rows: quad, vectors: lanes / 4, transposeA: false },
      {
        a,
        stepA: rows.vectors.step,
        b: w.let(i32.add(panels, i32.mul(j, depth))),
        stepB: 4 * lanes,
        c: w.let(element(scores, j)),
        stepC,
        rows: rows.there,
        columns: all,
        k: d,
        start: none,
        row: w.scratch,
      },
    );
  });
}

/** out [quad, d] += weights [quad, columns] · packed rows, of which there are n, from `begin` up to `end`. */
export function addQuad(
  w: KernelBody,
  weights: I32,
  panels: I32,
  n: I32,
  d: I32,
  [begin, end]: readonly [I32, I32],
  out: { vectors: Vectors; from: I32; there: I32 },
): void {
  const stepA = w.let(i32.const(rowOfQuad));
  const first = w.let(vectorAt(out.vectors, out.from));
  const k = w.let(i32.sub(end, begin));
  w.range(0, d, lanes, (c) => {
    const place = w.let(element(first, c));
    tile(
      w,
      { rows: quad, vectors: lanes / 4, transposeA: false },
      {
        a: w.let(element(weights, begin)),
        stepA,
        b: w.let(i32.add(panelOfRows(panels, c, n), i32.mul(begin, 4 * lanes))),
        stepB: 4 * lanes,
        c: place,
        stepC: out.vectors.step,
        rows: out.there,
        columns: w.let(i32.sub(d, c)),
        k,
        start: place,
        row: w.scratch,
      },
    );
  });
}

/** The scores of one row with columns begin … end − 1, read as they lie, from number `from` on. */
export function scoreRow(
  w: KernelBody,
  row: I32,
  columns: Vectors,
  from: I32,
  d: I32,
  [begin, end]: readonly [I32, I32],
  scores: I32,
): void {
  const { elements, step } = columns;
  const [whole, rest] = [w.let(i32.and(d, -4)), w.let(i32.and(d, 3))];
  const lanesOfRest = w.let(i32x4.ltS(i32x4.const(0, 1, 2, 3), i32x4.splat(rest)));
  w.range(begin, end, quad, (j) => {
    const first = w.let(vectorAt(columns, i32.add(from, j)));
    const pointers = rowPointers(w, quad, first, step, w.let(i32.sub(end, j)));
    const sums = pointers.map(() => w.let(f32x4.const(0)));
    const add = (c: I32, only: (four: V128) => V128) => {
      const x = w.let(only(v128.load(element(row, c))));
      pointers.forEach((pointer, i) => {
        w.set(sums[i], multiplyAdd(x, only(elements.load(w, pointer)), sums[i]));
        w.set(pointer, i32.add(pointer, 4 * elements.bytes));
      });
    };
    w.range(0, whole, 4, (c) => add(c, (four) => four));
    w.if(rest, () => add(whole, (four) => v128.and(four, lanesOfRest)));
    const lanesOf = transpose4(w, sums).map((lane) => w.let(lane));
    const [x, y, z, u] = lanesOf;
    w.store(element(scores, j), f32x4.add(f32x4.add(x, y), f32x4.add(z, u)));
  });
}

/** out [d] += weights [columns] · columns begin … end − 1, read as they lie, from number `from` on. */
export function addRow(
  w: KernelBody,
  weights: I32,
  columns: Vectors,
  from: I32,
  d: I32,
  [begin, end]: readonly [I32, I32],
  out: I32,
): void {
  const { elements, step } = columns;
  const first = w.let(vectorAt(columns, i32.add(from, begin)));
  /** So many vectors of four numbers, from number c on. */
  const add = (c: I32, fours: number, store: (address: I32, value: V128) => void) => {
    const place = w.let(element(out, c));
    const sums = Array.from({ length: fours }, (_, m) => w.let(v128.load(place, 16 * m)));
    const pointer = w.let(i32.add(first, i32.mul(c, elements.bytes)));
    w.range(begin, end, 1, (j) => {
      const weight = w.let(v128.load32Splat(element(weights, j)));
      sums.forEach((sum, m) => {
        w.set(sum, multiplyAdd(weight, elements.load(w, i32.add(pointer, 4 * m * elements.bytes)), sum));
      });
      w.set(pointer, i32.add(pointer, step));
    });
    sums.forEach((sum, m) => void store(i32.add(place, 16 * m), sum));
  };
  const store = (address: I32, value: V128) => w.store(address, value);
  const wide = w.let(i32.and(d, -16));
  const whole = w.let(i32.and(d, -4));
  w.range(0, wide, 16, (c) => add(c, 4, store));
  w.range(wide, whole, 4, (c) => add(c, 1, store));
  w.if(i32.ltS(whole, d), () => add(whole, 1, firstOf(w, w.let(i32.and(d, 3))).store));
}

/** The address of a row of a quad. */
export const rowOf = (scores: I32, x: I32): I32 => i32.add(scores, i32.mul(x, rowOfQuad));

/** For c = begin, begin + 4, … below end: the statements, with lanes for whole fours. */
export const eachFour = (
  w: Body,
  [begin, end]: readonly [I32, I32],
  statements: (c: Local<'i32'>) => void,
): void => w.range(begin, end, 4, statements);

/** The numbers i … i + 3. */
export const numbersFrom = (i: I32): V128 => i32x4.add(i32x4.splat(i), i32x4.const(0, 1, 2, 3));

/** The value that all lanes make together, in all of them. */
export function together(w: Body, value: V128, combine: (x: V128, y: V128) => V128): Local<'v128'> {
  const x = w.let(value);
  const pairs = w.let(combine(x, shuffle32(x, x, [2, 3, 0, 1])));
  return w.let(combine(pairs, shuffle32(pairs, pairs, [1, 0, 3, 2])));
}

/** x·factor for a vector of d numbers in memory. */
export function scaleVector(w: Body, address: I32, d: I32, factor: V128): void {
  const whole = w.let(i32.and(d, -4));
  const scaled = (c: I32) => f32x4.mul(v128.load(element(address, c)), factor);
  w.range(0, whole, 4, (c) => w.store(element(address, c), scaled(c)));
  w.if(i32.ltS(whole, d), () => {
    firstOf(w, w.let(i32.and(d, 3))).store(element(address, whole), scaled(whole));
  });
}

/** Sets n vectors from number `from` on to 0. */
export function zeroVectors(w: Body, x: Vectors, n: I32, d: I32): void {
  w.range(0, n, 1, (i) => w.zero(vectorAt(x, i), i32.shl(d, 2)));
}

/** Addresses and sizes that all bodies have. */
export interface Names {
  readonly t: I32;
  readonly h: I32;
  readonly d: I32;
  readonly s: I32;
  readonly kv: I32;
  readonly group: I32;
  readonly offset: I32;
}

/** The sizes as parameters. */
export const paramsOf = ({ t, h, d, s, kv, group }: AttentionSizes, offset: number) => ({
  t,
  h,
  d,
  s,
  kv,
  group,
  offset,
});

/**
 * The first and the last key that token i of a row sees; `seen` is the address of the tensor that says it.
 */
export function boundsOf(w: Body, v: Names, seen: I32 | undefined, batch: I32, i: I32): [I32, I32] {
  if (!seen) return [w.let(i32.const(0)), w.let(i32.min(i32.sub(v.s, 1), i32.add(v.offset, i)))];
  const place = w.let(i32.add(seen, i32.shl(i32.add(i32.mul(batch, v.t), i), 3)));
  const first = w.let(i32.load(place));
  const last = w.let(i32.load(place, 4));
  return [first, w.let(maximum(first, last))];
}

export const maximum = (x: I32, y: I32): I32 => i32.select(x, y, i32.gtS(x, y));

/** The first key that any of the tokens from … to − 1 sees, and the one after the last. */
export function rangeOf(
  w: Body,
  v: Names,
  seen: I32 | undefined,
  batch: I32,
  [from, to]: readonly [I32, I32],
): [begin: Local<'i32'>, end: Local<'i32'>] {
  if (!seen) {
    const [, last] = boundsOf(w, v, seen, batch, i32.sub(to, 1));
    return [w.let(i32.const(0)), w.let(i32.add(last, 1))];
  }
  const [begin, end] = [w.let(v.s), w.let(i32.const(0))];
  w.range(from, to, 1, (i) => {
    const [first, last] = boundsOf(w, v, seen, batch, i);
    w.set(begin, i32.min(begin, first));
    w.set(end, maximum(end, i32.add(last, 1)));
  });
  return [begin, end];
}

/** Of columns begin … end of all, those of the block at `from` of n, from a multiple of 8 on. */
export function within(w: Body, [begin, end]: readonly [I32, I32], from: I32, n: I32): [I32, I32] {
  const start = w.let(i32.sub(begin, from));
  return [
    w.let(i32.and(i32.select(start, 0, i32.gtS(start, 0)), -lanes)),
    w.let(i32.min(n, i32.sub(end, from))),
  ];
}
