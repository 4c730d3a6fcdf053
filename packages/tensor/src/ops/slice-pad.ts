import { DTypeError, ShapeError } from '../errors.ts';
import { kernel, wide } from '../kernel-record.ts';
import { defineOp, type KernelOp, known, sample, type ViewOp } from '../op.ts';
import { axisIndex, bytesPerElement, type Shape, type Spec, show, showAll, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { copyRow, element, i32, wasmKernel } from '../wasm/index.ts';
import { storageType } from '../wgsl.ts';
import { reshape } from './reshape.ts';

interface WindowAttrs {
  /** Where the window begins in a row; may be negative. */
  readonly start: number;
  readonly width: number;
}

function checkWords(name: string, x: Spec): void {
  if (x.dtype === 'f16')
    throw new DTypeError(`${name}: needs f32, i32 or u32, got ${show(x)}; cast it first`);
}

/** Four elements at a time when nothing begins or ends between. */
const lanesFor = (...counts: readonly number[]): 1 | 4 => (counts.every((n) => n % 4 === 0) ? 4 : 1);

/** [rows, n] → [rows, width]: elements start … start + width − 1 of each row, zeros where there are none. */
const windowOp: KernelOp<WindowAttrs> = defineOp({
  kind: 'kernel',
  name: 'window',
  infer([x], { width }) {
    checkWords('window', x);
    return { shape: [x.shape[0], width], dtype: x.dtype };
  },
  wgsl([x], [output], { start, width }) {
    const n = x.shape[1];
    const lanes = lanesFor(n, start, width);
    return kernel({
      name: 'window',
      in: { xs: wide(x, lanes) },
      out: { out: wide(output, lanes) },
      params: { n: n / lanes, width: width / lanes, start: start / lanes },
      grid: { cells: size(output.shape) / lanes },
      // A place before the row wraps around to a large number, so one comparison tells both ends.
      body: () => `  let at = flat % p.width + p.start;
  var value = ${storageType(x.dtype, lanes)}();
  if (at < p.n) { value = xs[(flat / p.width) * p.n + at]; }
  out[flat] = value;`,
    });
  },
  host([x], _, { start, width }) {
    const [rows, n] = x.shape;
    const [from, to] = [Math.max(0, start), Math.min(n, start + width)];
    return ([xs], [out]) => {
      out.fill(0);
      for (let row = 0; row < rows && from < to; row++) {
        out.set(xs.subarray(row * n + from, row * n + to), row * width + from - start);
      }
    };
  },
  wasm([x], [output], { start, width }) {
    const [rows, n] = x.shape;
    // A row is zeros, what there is of the input, and zeros again.
    const from = Math.max(0, start);
    const before = Math.min(width, Math.max(0, -start));
    const count = Math.max(0, Math.min(n - from, width - before));
    return wasmKernel({
      name: 'window',
      in: { xs: x },
      out: { out: output },
      params: { n, width, from, before, count, after: width - before - count },
      items: rows,
      cost: 10 + width / 8,
      body: (w, { xs, out, n, width, from, before, count, after }) =>
        w.range(w.from, w.to, 1, (row) => {
          const to = w.let(element(out, i32.mul(row, width)));
          const there = w.let(element(to, before));
          w.zero(to, i32.shl(before, 2));
          copyRow(w, there, w.let(element(xs, i32.add(i32.mul(row, n), from))), count);
          w.zero(element(there, count), i32.shl(after, 2));
        }),
    });
  },
  vjp: ([g], [x], _, { start }) => [() => apply(windowOp, [g], { start: -start, width: x.shape[1] })],
  samples: [
    sample('[3, 7]', { start: 2, width: 4 }),
    sample('[3, 4]', { start: -2, width: 9 }),
    sample('[2, 16]', { start: 4, width: 8 }),
    sample('[2, 8]', { start: -4, width: 16 }),
  ],
  known: [known('[[1, 2, 3]]', [0, 1, 2], { start: -1, width: 3 })],
});

interface PartAttrs {
  readonly start: number;
  readonly count: number;
}

/** [n] → [count]: elements start … start + count − 1, in the memory where they are. */
const partOp: ViewOp<PartAttrs> = defineOp({
  kind: 'view',
  name: 'part',
  infer([x], { start, count }) {
    if (x.shape.length !== 1 || start + count > x.shape[0]) {
      throw new ShapeError(`part: ${count} elements from ${start} on are not in ${show(x)}`);
    }
    return { shape: [count], dtype: x.dtype };
  },
  offset: (_, { start }) => start,
  vjp: ([g], [x], _, { start }) => [() => windowAlong(g, 0, -start, x.shape[0])],
  samples: [sample('[200]', { start: 64, count: 9 })],
  known: [known('[1, 2]', [1], { start: 0, count: 1 })],
});

/** True where a part of x that begins at that element can be a view: every kernel can bind it. */
function suitsView(x: Tensor, start: number): boolean {
  return ((x.offset + start) * bytesPerElement[x.dtype]) % x.backend.viewAlignment === 0;
}

/** Elements start … start + count − 1 along one axis, zeros where there are none. */
function windowAlong(x: Tensor, axis: number, start: number, count: number): Tensor {
  if (start === 0 && count === x.shape[axis]) return x;
  const inner = size(x.shape.slice(axis + 1));
  const outer = size(x.shape.slice(0, axis));
  const shape = [...x.shape.slice(0, axis), count, ...x.shape.slice(axis + 1)];
  if (outer === 1 && start >= 0 && start + count <= x.shape[axis] && suitsView(x, start * inner)) {
    const flat = reshape(x, [size(x.shape)]);
    return reshape(apply(partOp, [flat], { start: start * inner, count: count * inner }), shape);
  }
  const rows = reshape(x, [outer, x.shape[axis] * inner]);
  return reshape(apply(windowOp, [rows], { start: start * inner, width: count * inner }), shape);
}

function checkCounts(name: string, x: Tensor, lists: readonly (readonly number[])[]): void {
  checkWords(name, x);
  for (const list of lists) {
    if (list.length !== x.shape.length || list.some((n) => !Number.isInteger(n) || n < 0)) {
      throw new ShapeError(`${name}: needs a count ≥ 0 an axis of ${show(x)}, got [${list.join(', ')}]`);
    }
  }
}

/**
 * Elements starts[i] … starts[i] + sizes[i] − 1 of each axis i. f32, i32 or u32 [..] → [sizes].
 * Throws ShapeError where that is not inside x. The adjoint of `pad`.
 */
export function slice(x: Tensor, starts: readonly number[], sizes: Shape): Tensor {
  checkCounts('slice', x, [starts, sizes]);
  if (starts.some((start, i) => start + sizes[i] > x.shape[i])) {
    throw new ShapeError(`slice: [${sizes.join(', ')}] from [${starts.join(', ')}] is not inside ${show(x)}`);
  }
  return starts.reduce((t, start, axis) => windowAlong(t, axis, start, sizes[axis]), x);
}

/** before[i] and after[i] zeros around axis i of x. f32, i32 or u32 [..] → [..]. The adjoint of `slice`. */
export function pad(x: Tensor, before: readonly number[], after: readonly number[]): Tensor {
  checkCounts('pad', x, [before, after]);
  return before.reduce((t, n, axis) => windowAlong(t, axis, -n, n + x.shape[axis] + after[axis]), x);
}

type NoAttrs = Readonly<Record<string, never>>;

/** [rows, n], [rows, m] → [rows, n + m]. */
const concatOp: KernelOp<NoAttrs> = defineOp({
  kind: 'kernel',
  name: 'concat',
  infer([x, y]) {
    checkWords('concat', x);
    if (x.dtype !== y.dtype)
      throw new DTypeError(`concat: element types must be equal, got ${showAll([x, y])}`);
    if (x.shape[0] !== y.shape[0]) throw new ShapeError(`concat: rows must be equal, got ${showAll([x, y])}`);
    return { shape: [x.shape[0], x.shape[1] + y.shape[1]], dtype: x.dtype };
  },
  wgsl([x, y], [output]) {
    const [n, m] = [x.shape[1], y.shape[1]];
    const lanes = lanesFor(n, m);
    return kernel({
      name: 'concat',
      in: { xs: wide(x, lanes), ys: wide(y, lanes) },
      out: { out: wide(output, lanes) },
      params: { n: n / lanes, m: m / lanes },
      grid: { cells: size(output.shape) / lanes },
      body: () => `  let row = flat / (p.n + p.m);
  let at = flat % (p.n + p.m);
  if (at < p.n) { out[flat] = xs[row * p.n + at]; } else { out[flat] = ys[row * p.m + at - p.n]; }`,
    });
  },
  host([x, y]) {
    const [rows, n] = x.shape;
    const m = y.shape[1];
    return ([xs, ys], [out]) => {
      for (let row = 0; row < rows; row++) {
        out.set(xs.subarray(row * n, (row + 1) * n), row * (n + m));
        out.set(ys.subarray(row * m, (row + 1) * m), row * (n + m) + n);
      }
    };
  },
  wasm([x, y], [output]) {
    const [rows, n] = x.shape;
    const m = y.shape[1];
    return wasmKernel({
      name: 'concat',
      in: { xs: x, ys: y },
      out: { out: output },
      params: { n, m },
      items: rows,
      cost: 10 + (n + m) / 8,
      body: (w, { xs, ys, out, n, m }) =>
        w.range(w.from, w.to, 1, (row) => {
          const to = w.let(element(out, i32.mul(row, i32.add(n, m))));
          copyRow(w, to, w.let(element(xs, i32.mul(row, n))), n);
          copyRow(w, w.let(element(to, n)), w.let(element(ys, i32.mul(row, m))), m);
        }),
    });
  },
  vjp: ([g], [x, y]) => [
    () => windowAlong(g, 1, 0, x.shape[1]),
    () => windowAlong(g, 1, x.shape[1], y.shape[1]),
  ],
  samples: [
    [
      [3, 2],
      [3, 5],
    ],
    [
      [2, 4],
      [2, 8],
    ],
    [
      [1, 3],
      [1, 1],
    ],
  ].map((shapes) => ({ shapes, attrs: {} })),
  known: [known('[[1], [2]] [[3, 4], [5, 6]]', [1, 3, 4, 2, 5, 6], {})],
});

/**
 * The tensors one after the other along an axis, negative from the end. f32, i32 or u32 [..] → [..].
 * Throws ShapeError when another axis differs, DTypeError when the element types do.
 */
export function concat(xs: readonly Tensor[], axis: number): Tensor {
  if (xs.length === 0) throw new ShapeError('concat: needs at least one tensor');
  const [x] = xs;
  const at = axisIndex('concat', x.shape, axis);
  if (
    xs.some((t) => t.shape.length !== x.shape.length || t.shape.some((n, i) => i !== at && n !== x.shape[i]))
  ) {
    throw new ShapeError(`concat: axes but ${axis} must be equal, got ${showAll(xs)}`);
  }
  const inner = size(x.shape.slice(at + 1));
  const rows = xs.map((t) => reshape(t, [size(t.shape.slice(0, at)), t.shape[at] * inner]));
  const total = xs.reduce((n, t) => n + t.shape[at], 0);
  return reshape(joinAll(rows), [...x.shape.slice(0, at), total, ...x.shape.slice(at + 1)]);
}

/** Joins pairs of neighbours, then pairs of those, so that n tensors are copied only log₂ n times. */
function joinAll(rows: readonly Tensor[]): Tensor {
  if (rows.length === 1) return rows[0];
  const half = Math.ceil(rows.length / 2);
  return apply(concatOp, [joinAll(rows.slice(0, half)), joinAll(rows.slice(half))], {});
}

/** The pieces of `sizes` along an axis, as concat joins them. Throws ShapeError where they do not add up. */
export function split(x: Tensor, sizes: readonly number[], axis: number): Tensor[] {
  const at = axisIndex('split', x.shape, axis);
  if (sizes.some((n) => !Number.isInteger(n) || n < 0) || sizes.reduce((a, b) => a + b, 0) !== x.shape[at]) {
    throw new ShapeError(`split: pieces [${sizes.join(', ')}] do not add up to axis ${axis} of ${show(x)}`);
  }
  let start = 0;
  return sizes.map((n) => {
    start += n;
    return windowAlong(x, at, start - n, n);
  });
}
