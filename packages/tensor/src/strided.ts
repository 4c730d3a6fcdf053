import { DTypeError, ShapeError } from './errors.ts';
import { type Kernel, kernel, wide } from './kernel-record.ts';
import type { HostLoop } from './op.ts';
import { isQuantized } from './quantized.ts';
import { type Shape, type Spec, show, size, strides } from './shape.ts';
import {
  copyRow,
  element,
  fours,
  type I32,
  i32,
  type KernelBody,
  transpose4,
  v128,
  type WasmKernel,
  walk,
  wasmKernel,
} from './wasm/index.ts';
import { storageType } from './wgsl.ts';

/** Where output element (i0, i1, …) is read: input[offset + Σ ik·stridek], strides in elements. */
export interface StridedView {
  readonly offset: number;
  readonly strides: readonly number[];
}

const maxRank = 6;

/** Throws unless the input is of a four-byte type and the output has at most 6 axes, as the kernels need. */
export function checkStrided(op: string, input: Spec, outputShape: Shape): void {
  if (input.dtype === 'f16' || isQuantized(input)) {
    throw new DTypeError(`${op}: needs f32, i32 or u32, got ${show(input)}; cast it first`);
  }
  if (outputShape.length > maxRank) {
    throw new ShapeError(`${op}: takes up to ${maxRank} axes, got [${outputShape.join(', ')}]`);
  }
}

/**
 * A copy of a strided view: one text a rank, element type and way of reading. Where the last axis holds a
 * multiple of four, four neighbours are written at once, and read at once if they are neighbours there too.
 */
export function stridedWgsl(name: string, input: Spec, output: Spec, view: StridedView): Kernel {
  const rank = output.shape.length;
  const lanes = rank > 0 && output.shape[rank - 1] % 4 === 0 ? 4 : 1;
  const whole = lanes === 4 && readsFours(view);
  const unit = whole ? 4 : 1;
  const last = rank - 1;
  const axes = Array.from({ length: rank }, (_, i) => i);
  // The last axis is walked in fours.
  const sizes = output.shape.map((n, i) => [`size${i}`, i === last ? n / lanes : n] as const);
  const steps = view.strides.map(
    (step, i) => [`stride${i}`, (i === last ? step * lanes : step) / unit] as const,
  );
  return kernel({
    name,
    in: { xs: wide(input, whole ? 4 : 1) },
    out: { out: wide(output, lanes) },
    params: { offset: view.offset / unit, ...Object.fromEntries([...sizes, ...steps]) },
    grid: { cells: size(output.shape) / lanes },
    body() {
      const places = ['at', 'at + step', 'at + 2u * step', 'at + 3u * step'].map((at) => `xs[${at}]`);
      const four = `  let step = p.stride${last} / 4u;
  out[flat] = ${storageType(output.dtype, 4)}(${places.join(', ')});`;
      return `  var rest = flat;
  var at = p.offset;
${[...axes]
  .reverse()
  .map((i) => `  at += (rest % p.size${i}) * p.stride${i}; rest /= p.size${i};`)
  .join('\n')}
${lanes === 4 && !whole ? four : '  out[flat] = xs[at];'}`;
    },
  });
}

/** True when four neighbours along the last axis lie in one aligned word of four. */
function readsFours({ offset, strides }: StridedView): boolean {
  return strides.at(-1) === 1 && [offset, ...strides.slice(0, -1)].every((n) => n % 4 === 0);
}

/** The same as a loop: an odometer over the output's axes. */
export function stridedHost({ shape }: Spec, view: StridedView): HostLoop {
  return ([xs], [out]) => {
    const index = new Array<number>(shape.length).fill(0);
    let at = view.offset;
    for (let i = 0; i < out.length; i++) {
      out[i] = xs[at];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        at += view.strides[axis];
        if (++index[axis] < shape[axis]) break;
        at -= index[axis] * view.strides[axis];
        index[axis] = 0;
      }
    }
  };
}

/** An axis of a copy: how many elements, and how far apart they are read and written. */
interface Loop {
  readonly size: number;
  readonly read: number;
  readonly write: number;
}

/** Rows longer than this are not made of shorter ones, so that threads can share them. */
const longRow = 4096;

/** The axes of a copy, without those of one element; two that are walked as one are one. Never none. */
function loopsOf(shape: Shape, view: StridedView): Loop[] {
  const writes = strides(shape);
  const loops: Loop[] = [];
  for (let i = shape.length - 1; i >= 0; i--) {
    const loop = { size: shape[i], read: view.strides[i], write: writes[i] };
    const [inner] = loops;
    const follows = inner && loop.read === inner.size * inner.read && loop.size * inner.size <= longRow;
    if (follows) loops[0] = { ...inner, size: loop.size * inner.size };
    else if (loop.size !== 1) loops.unshift(loop);
  }
  return loops.length > 0 ? loops : [{ size: 1, read: 1, write: 1 }];
}

/** Elements of a cache line: what is read of a column of tiles at a time. */
const lineElements = 16;

/**
 * The same in WebAssembly, by how a row of the output lies in the input: a run of neighbours; one element
 * again and again; a column, of which as many as a cache line has are turned at once; or with any step.
 */
export function stridedWasm(name: string, input: Spec, output: Spec, view: StridedView): WasmKernel {
  const loops = loopsOf(output.shape, view);
  const row = loops.pop()!;
  const column = loops.find(({ read }) => read === 1);
  const way = row.read === 1 ? 'run' : row.read === 0 ? 'repeat' : column ? 'turn' : 'step';
  const outer = way === 'turn' ? [...loops.filter((loop) => loop !== column), blocksOf(column!)] : loops;
  const params: Record<string, number> = {
    offset: 4 * view.offset,
    n: row.size,
    step: 4 * row.read,
    height: column?.size ?? 1,
    rise: 4 * (column?.write ?? 0),
  };
  outer.forEach(({ size, read, write }, k) => {
    params[`size${k}`] = size;
    params[`read${k}`] = 4 * read;
    params[`write${k}`] = 4 * write;
  });
  const width = way === 'turn' ? lineElements * row.size : row.size;
  return wasmKernel({
    name,
    in: { xs: input },
    out: { out: output },
    params,
    items: outer.reduce((n, loop) => n * loop.size, 1),
    cost: 3 + width / (way === 'step' ? 1 : 4),
    variant: [way, outer.length],
    body(w, { xs, out, offset, n, step, height, rise, ...axes }) {
      const [from, to] = [w.let(i32.add(xs, offset)), w.let<'i32'>(out)];
      const walked = outer.map((_, k) => ({
        size: axes[`size${k}`],
        steps: [axes[`read${k}`], axes[`write${k}`]],
      }));
      walk(w, walked, [from, to], (index) => {
        if (way === 'run') copyRow(w, to, from, n);
        else if (way === 'repeat') {
          const value = w.let(v128.load32Splat(from));
          fours(w, n, (j, four) => four.store(element(to, j), value));
        } else if (way === 'step') {
          const at = w.let<'i32'>(from);
          w.range(0, n, 1, (j) => {
            w.store(element(to, j), i32.load(at));
            w.set(at, i32.add(at, step));
          });
        } else {
          const left = w.let(i32.sub(height, i32.mul(index.at(-1)!, lineElements)));
          const rows = w.let(i32.min(left, i32.const(lineElements)));
          turn(w, { from, to, rows, columns: n, step, rise });
        }
      });
    },
  });
}

/** A line of elements of that axis at a time. */
const blocksOf = ({ size, read, write }: Loop): Loop => ({
  size: Math.ceil(size / lineElements),
  read: lineElements * read,
  write: lineElements * write,
});

interface Turned {
  readonly from: I32;
  readonly to: I32;
  readonly rows: I32;
  readonly columns: I32;
  /** Bytes between columns, as they are read, and between rows, as they are written. */
  readonly step: I32;
  readonly rise: I32;
}

/** Writes rows of what is read as columns: four by four, and the rest one by one. */
function turn(w: KernelBody, { from, to, rows, columns, step, rise }: Turned): void {
  const [tall, wide] = [w.let(i32.and(rows, -4)), w.let(i32.and(columns, -4))];
  const read = (i: I32, j: I32) => i32.add(element(from, i), i32.mul(j, step));
  const written = (i: I32, j: I32) => i32.add(element(to, j), i32.mul(i, rise));
  w.range(0, wide, 4, (j) =>
    w.range(0, tall, 4, (i) => {
      const [source, target] = [w.let(read(i, j)), w.let(written(i, j))];
      const four = [0, 1, 2, 3].map(() => {
        const column = w.let(v128.load(source));
        w.set(source, i32.add(source, step));
        return column;
      });
      for (const row of transpose4(w, four)) {
        w.store(target, row);
        w.set(target, i32.add(target, rise));
      }
    }),
  );
  const single = (i: I32, j: I32) => w.store(written(i, j), i32.load(read(i, j)));
  w.range(wide, columns, 1, (j) => w.range(0, tall, 1, (i) => single(i, j)));
  w.range(tall, rows, 1, (i) => w.range(0, columns, 1, (j) => single(i, j)));
}

/** The view that stretches `from` to `to` as NumPy broadcasting does: a stretched axis has stride 0. */
export function broadcastView(from: Shape, to: Shape): StridedView {
  const lead = to.length - from.length;
  const steps = strides(from);
  return { offset: 0, strides: to.map((_, i) => (i < lead || from[i - lead] === 1 ? 0 : steps[i - lead])) };
}
