import { DTypeError, ShapeError } from './errors.ts';
import { type Kernel, kernel, wide } from './kernel-record.ts';
import type { HostLoop } from './op.ts';
import { type Shape, type Spec, show, size, strides } from './shape.ts';
import { storageType } from './wgsl.ts';

/** Where output element (i0, i1, …) is read: input[offset + Σ ik·stridek], strides in elements. */
export interface StridedView {
  readonly offset: number;
  readonly strides: readonly number[];
}

const maxRank = 6;

/** Throws unless the input is of a four-byte type and the output has at most 6 axes, as the kernels need. */
export function checkStrided(op: string, input: Spec, outputShape: Shape): void {
  if (input.dtype === 'f16') {
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

/** The view that stretches `from` to `to` as NumPy broadcasting does: a stretched axis has stride 0. */
export function broadcastView(from: Shape, to: Shape): StridedView {
  const lead = to.length - from.length;
  const steps = strides(from);
  return { offset: 0, strides: to.map((_, i) => (i < lead || from[i - lead] === 1 ? 0 : steps[i - lead])) };
}
