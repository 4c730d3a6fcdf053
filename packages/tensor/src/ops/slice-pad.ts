import { DTypeError, ShapeError } from '../errors.ts';
import { kernel, wide } from '../kernel-record.ts';
import { defineOp, type KernelOp, known, sample, type ViewOp } from '../op.ts';
import { isQuantized } from '../quantized.ts';
import { axisIndex, bytesPerElement, type Shape, type Spec, show, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { copyRow, element, i32, wasmKernel } from '../wasm/index.ts';
import { storageType } from '../wgsl.ts';
import { reshape } from './reshape.ts';

interface WindowAttrs {
  /** Where the window begins in a row; may be negative. */
  readonly start: number;
  readonly width: number;
}

/** Throws DTypeError for elements that are not four bytes long. */
export function checkWords(name: string, x: Spec): void {
  if (x.dtype === 'f16' || isQuantized(x))
    throw new DTypeError(`${name}: needs f32, i32 or u32, got ${show(x)}; cast it first`);
}

/** Four elements at a time when nothing begins or ends between. */
export const lanesFor = (...counts: readonly number[]): 1 | 4 => (counts.every((n) => n % 4 === 0) ? 4 : 1);

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

/**
 * Elements start … start + count − 1 along one axis, zeros where there are none: a view where these are whole
 * rows and begin where the device can bind.
 */
export function windowAlong(x: Tensor, axis: number, start: number, count: number): Tensor {
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
