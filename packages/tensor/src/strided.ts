import { DTypeError, ShapeError } from './errors.ts';
import type { GpuJsKernel, WgslKernel } from './op.ts';
import { type Shape, type Spec, show, size, strides } from './shape.ts';
import { grid1d, shader, storageType } from './wgsl.ts';

/** Where output element (i0, i1, …) is read: input[offset + Σ ik·stridek], strides in elements. */
export interface StridedView {
  readonly offset: number;
  readonly strides: readonly number[];
}

const maxRank = 6;

/** Throws unless the input is of a four-byte type and the output of rank 6 or less, which is what these kernels take. */
export function checkStrided(op: string, input: Spec, outputShape: Shape): void {
  if (input.dtype === 'f16') throw new DTypeError(`${op}: needs f32, i32 or u32, got ${show(input)}; cast it first`);
  if (outputShape.length > maxRank) {
    throw new ShapeError(`${op}: takes up to ${maxRank} axes, got [${outputShape.join(', ')}]`);
  }
}

/** A copy of a strided view: one text a rank and element type. */
export function stridedWgsl(name: string, output: Spec, view: StridedView): WgslKernel {
  const rank = output.shape.length;
  const axes = Array.from({ length: rank }, (_, i) => i);
  const type = storageType(output.dtype, 1);
  return {
    code: `// ${name}\n${shader({
      inputs: [`xs: ${type}`],
      output: `out: ${type}`,
      params: ['n: u32', 'offset: u32', ...axes.map((i) => `size${i}: u32`), ...axes.map((i) => `stride${i}: u32`)],
      workgroup: 64,
      body: `  if (flat >= p.n) { return; }
  var rest = flat;
  var at = p.offset;
${axes
  .map((_, k) => rank - 1 - k)
  .map((i) => `  at += (rest % p.size${i}) * p.stride${i}; rest /= p.size${i};`)
  .join('\n')}
  out[flat] = xs[at];`,
    })}`,
    workgroups: grid1d(size(output.shape), 64),
    immediates: [size(output.shape), view.offset, ...output.shape, ...view.strides],
  };
}

/** The same as a loop: an odometer over the output's axes. */
export function stridedHost(output: Spec, view: StridedView): GpuJsKernel {
  const { shape } = output;
  return {
    host: ([xs], out) => {
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
    },
  };
}

/** The view that stretches `from` to `to` as NumPy broadcasting does: a stretched axis has stride 0. */
export function broadcastView(from: Shape, to: Shape): StridedView {
  const lead = to.length - from.length;
  const steps = strides(from);
  return { offset: 0, strides: to.map((_, i) => (i < lead || from[i - lead] === 1 ? 0 : steps[i - lead])) };
}
