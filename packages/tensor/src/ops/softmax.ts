import { DTypeError, ShapeError } from '../errors.ts';
import { defineOp, type Op, type WgslDevice } from '../op.ts';
import { rowShader, rowWorkgroups } from '../row-program.ts';
import { type Spec, sameShape, show, showAll, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { mul, mulScalar, sub } from './arithmetic.ts';
import { exp } from './functions.ts';
import { sum } from './sum.ts';

interface SoftmaxAttrs {
  /** Multiplies x before the exponential. */
  readonly scale: number;
  /**
   * Rows of one causal block: row i of a block sees columns 0 … offset + i. 0: every row sees every column.
   */
  readonly period: number;
  readonly offset: number;
}

const columns = (x: Spec): number => x.shape.at(-1) ?? 1;
const rows = (x: Spec): number => size(x.shape) / columns(x);

function checkRows(name: string, x: Spec): void {
  if (x.dtype !== 'f32') throw new DTypeError(`${name}: needs f32, got ${show(x)}`);
  if (x.shape.length === 0 || columns(x) === 0)
    throw new ShapeError(`${name}: needs a last axis, got ${show(x)}`);
}

/** How many columns row `row` sees. */
function visible(row: number, n: number, { period, offset }: SoftmaxAttrs): number {
  return period === 0 ? n : Math.min(n, (row % period) + offset + 1);
}

const softmaxOp: Op<SoftmaxAttrs> = defineOp<SoftmaxAttrs>({
  name: 'softmax',
  infer([x]) {
    checkRows('softmax', x);
    return { shape: x.shape, dtype: 'f32' };
  },
  wgsl([x], _, { scale, period, offset }, device) {
    const body = `  let base = row * p.n;
  let seen = select(min(p.n, row % max(p.period, 1u) + p.offset + 1u), p.n, p.period == 0u);
  var top = -3.4e38;
  for (var i = lane; i < seen; i += LANES) { top = max(top, p.scale * xs[base + i]); }
  top = reduceMax(top, lane);
  var total = 0.0;
  for (var i = lane; i < seen; i += LANES) {
    let e = exp(p.scale * xs[base + i] - top);
    out[base + i] = e;
    total += e;
  }
  let share = 1.0 / reduceSum(total, lane);
  for (var i = lane; i < seen; i += LANES) { out[base + i] *= share; }
  for (var i = seen + lane; i < p.n; i += LANES) { out[base + i] = 0.0; }`;
    const params = ['n: u32', 'period: u32', 'offset: u32', 'scale: f32'];
    return {
      code: rowShader(device, { name: 'softmax', inputs: ['xs: f32'], params, body }),
      workgroups: rowWorkgroups(rows(x)),
      immediates: [rows(x), columns(x), period, offset, { f32: scale }],
    };
  },
  gpujs([x], _, attrs) {
    const n = columns(x);
    return {
      host: ([xs], out) => {
        for (let row = 0; row * n < out.length; row++) {
          const base = row * n;
          const seen = visible(row, n, attrs);
          let top = Number.NEGATIVE_INFINITY;
          for (let i = 0; i < seen; i++) top = Math.max(top, attrs.scale * xs[base + i]);
          let total = 0;
          for (let i = 0; i < seen; i++) {
            const e = Math.exp(attrs.scale * xs[base + i] - top);
            out[base + i] = e;
            total += e;
          }
          for (let i = 0; i < n; i++) out[base + i] = i < seen ? out[base + i] / total : 0;
        }
      },
    };
  },
  vjp: (g, _inputs, y, { scale }) => [() => softmaxBackward(g, y, scale)],
  samples: [
    { shapes: [[3, 1]], attrs: { scale: 1, period: 0, offset: 0 } },
    { shapes: [[2, 3, 11]], attrs: { scale: 0.5, period: 0, offset: 0 } },
    { shapes: [[2, 6, 6]], attrs: { scale: 0.7, period: 3, offset: 0 } },
    { shapes: [[2, 2, 9]], attrs: { scale: 1, period: 2, offset: 7 } },
  ],
  known: [
    {
      inputs: [{ shape: [1, 2], data: [3, 3] }],
      attrs: { scale: 1, period: 0, offset: 0 },
      output: [0.5, 0.5],
    },
    {
      inputs: [{ shape: [2, 2], data: [1, 9, 4, 4] }],
      attrs: { scale: 1, period: 2, offset: 0 },
      output: [1, 0, 0.5, 0.5],
    },
  ],
});

interface ScaleAttrs {
  readonly scale: number;
}

const softmaxBackwardOp: Op<ScaleAttrs> = defineOp<ScaleAttrs>({
  name: 'softmaxBackward',
  infer([g, y]) {
    for (const t of [g, y]) checkRows('softmaxBackward', t);
    if (!sameShape(g.shape, y.shape))
      throw new ShapeError(`softmaxBackward: needs equal shapes, got ${showAll([g, y])}`);
    return { shape: y.shape, dtype: 'f32' };
  },
  wgsl([, y], _, { scale }, device) {
    const body = `  let base = row * p.n;
  var dot = 0.0;
  for (var i = lane; i < p.n; i += LANES) { dot += gs[base + i] * ys[base + i]; }
  dot = reduceSum(dot, lane);
  for (var i = lane; i < p.n; i += LANES) { out[base + i] = p.scale * ys[base + i] * (gs[base + i] - dot); }`;
    const inputs = ['gs: f32', 'ys: f32'];
    return {
      code: rowShader(device, { name: 'softmaxBackward', inputs, params: ['n: u32', 'scale: f32'], body }),
      workgroups: rowWorkgroups(rows(y)),
      immediates: [rows(y), columns(y), { f32: scale }],
    };
  },
  gpujs([, y], _, { scale }) {
    const n = columns(y);
    return {
      host: ([gs, ys], out) => {
        for (let base = 0; base < out.length; base += n) {
          let dot = 0;
          for (let i = base; i < base + n; i++) dot += gs[i] * ys[i];
          for (let i = base; i < base + n; i++) out[i] = scale * ys[i] * (gs[i] - dot);
        }
      },
    };
  },
  vjp: 'composed',
  composed: ([g, y], { scale }) =>
    mulScalar(mul(y, sub(g, sum(mul(g, y), { axes: [-1], keepDims: true }))), scale),
  samples: [
    {
      shapes: [
        [3, 10],
        [3, 10],
      ],
      attrs: { scale: 0.5 },
    },
  ],
});

/** scale·y·(g − ⟨g, y⟩) along the last axis: the gradient of softmax(scale·x) = y. */
const softmaxBackward = (g: Tensor, y: Tensor, scale: number): Tensor =>
  apply(softmaxBackwardOp, [g, y], { scale });

/** e^x / Σ e^x along the last axis. f32 [.., n] → f32 [.., n]. */
export const softmax = (x: Tensor): Tensor => apply(softmaxOp, [x], { scale: 1, period: 0, offset: 0 });

/**
 * softmax(scale·x) along the last axis, in which query i sees keys 0 … offset + i; weights of unseen keys are
 * 0. f32 [.., g·t, s] → the same, where the rows are `queries` = t positions, repeated for each head of a
 * group.
 */
export const causalSoftmax = (
  x: Tensor,
  { scale, queries, offset }: { scale: number; queries: number; offset: number },
): Tensor => apply(softmaxOp, [x], { scale, period: queries, offset });

type NoAttrs = Readonly<Record<string, never>>;

const logSoftmaxOp: Op<NoAttrs> = defineOp<NoAttrs>({
  name: 'logSoftmax',
  infer([x]) {
    checkRows('logSoftmax', x);
    return { shape: x.shape, dtype: 'f32' };
  },
  wgsl([x], _output, _attrs, device: WgslDevice) {
    const body = `  let base = row * p.n;
  var top = -3.4e38;
  for (var i = lane; i < p.n; i += LANES) { top = max(top, xs[base + i]); }
  top = reduceMax(top, lane);
  var total = 0.0;
  for (var i = lane; i < p.n; i += LANES) { total += exp(xs[base + i] - top); }
  let shift = top + log(reduceSum(total, lane));
  for (var i = lane; i < p.n; i += LANES) { out[base + i] = xs[base + i] - shift; }`;
    return {
      code: rowShader(device, { name: 'logSoftmax', inputs: ['xs: f32'], params: ['n: u32'], body }),
      workgroups: rowWorkgroups(rows(x)),
      immediates: [rows(x), columns(x)],
    };
  },
  gpujs([x]) {
    const n = columns(x);
    return {
      host: ([xs], out) => {
        for (let base = 0; base < out.length; base += n) {
          let top = Number.NEGATIVE_INFINITY;
          for (let i = base; i < base + n; i++) top = Math.max(top, xs[i]);
          let total = 0;
          for (let i = base; i < base + n; i++) total += Math.exp(xs[i] - top);
          const shift = top + Math.log(total);
          for (let i = base; i < base + n; i++) out[i] = xs[i] - shift;
        }
      },
    };
  },
  vjp: (g, _inputs, y) => [() => sub(g, mul(exp(y), sum(g, { axes: [-1], keepDims: true })))],
  samples: [
    { shapes: [[3, 1]], attrs: {} },
    { shapes: [[2, 3, 11]], attrs: {} },
  ],
  known: [{ inputs: [{ shape: [1, 1], data: [5] }], attrs: {}, output: [0] }],
});

/** x − ln Σ e^x along the last axis. f32 [.., n] → f32 [.., n]. */
export const logSoftmax = (x: Tensor): Tensor => apply(logSoftmaxOp, [x], {});
