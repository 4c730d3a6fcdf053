import { DTypeError, ShapeError } from '../errors.ts';
import { defineOp, type Op } from '../op.ts';
import { rowShader, rowWorkgroups } from '../row-program.ts';
import { type Spec, showAll, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { addScalar, mean, mul, mulScalar, square, sub } from './arithmetic.ts';
import { rsqrt } from './functions.ts';
import { sum, sumTo } from './sum.ts';

interface NormAttrs {
  /** Added to the mean square, so that a zero row stays finite. */
  readonly eps: number;
}

const last = { axes: [-1], keepDims: true };

function check(name: string, inputs: readonly Spec[], x: Spec, weight: Spec): void {
  if (inputs.some((t) => t.dtype !== 'f32'))
    throw new DTypeError(`${name}: needs f32, got ${showAll(inputs)}`);
  if (weight.shape.length !== 1 || weight.shape[0] !== x.shape.at(-1)) {
    throw new ShapeError(`${name}: the weight must be as long as the last axis, got ${showAll(inputs)}`);
  }
}

/** 1/√(mean x² + eps) of each row. */
const inverseRms = (x: Tensor, eps: number): Tensor => rsqrt(addScalar(mean(square(x), last), eps));

const rmsNormOp: Op<NormAttrs> = defineOp<NormAttrs>({
  name: 'rmsNorm',
  infer([x, weight]) {
    check('rmsNorm', [x, weight], x, weight);
    return { shape: x.shape, dtype: 'f32' };
  },
  wgsl([x, weight], _, { eps }, device) {
    const n = weight.shape[0];
    const body = `  let base = row * p.n;
  var total = 0.0;
  for (var i = lane; i < p.n; i += LANES) { let x = xs[base + i]; total += x * x; }
  let r = inverseSqrt(reduceSum(total, lane) / f32(p.n) + p.eps);
  for (var i = lane; i < p.n; i += LANES) { out[base + i] = xs[base + i] * r * weights[i]; }`;
    const inputs = ['xs: f32', 'weights: f32'];
    return {
      code: rowShader(device, { name: 'rmsNorm', inputs, params: ['n: u32', 'eps: f32'], body }),
      workgroups: rowWorkgroups(size(x.shape) / n),
      immediates: [size(x.shape) / n, n, { f32: eps }],
    };
  },
  gpujs([, weight], _, { eps }) {
    const n = weight.shape[0];
    return {
      host: ([xs, weights], out) => {
        for (let base = 0; base < out.length; base += n) {
          let total = 0;
          for (let i = base; i < base + n; i++) total += xs[i] * xs[i];
          const r = 1 / Math.sqrt(total / n + eps);
          for (let i = 0; i < n; i++) out[base + i] = xs[base + i] * r * weights[i];
        }
      },
    };
  },
  vjp: (g, [x, weight], _, { eps }) => [
    () => apply(rmsNormBackwardOp, [g, x, weight], { eps }),
    () => sumTo(mul(g, mul(x, inverseRms(x, eps))), weight.shape),
  ],
  composed: ([x, weight], { eps }) => mul(mul(x, inverseRms(x, eps)), weight),
  samples: [
    { shapes: [[2, 3, 8], [8]], attrs: { eps: 1e-5 } },
    { shapes: [[3, 7], [7]], attrs: { eps: 1e-2 } },
  ],
  known: [
    {
      inputs: [
        { shape: [1, 2], data: [3, 3] },
        { shape: [2], data: [1, 2] },
      ],
      attrs: { eps: 0 },
      output: [1, 2],
    },
  ],
});

/** d/dx of rmsNorm: r·(g∘w) − x·r³/n·⟨g∘w, x⟩ with r = 1/√(mean x² + eps). */
const rmsNormBackwardOp: Op<NormAttrs> = defineOp<NormAttrs>({
  name: 'rmsNormBackward',
  infer([g, x, weight]) {
    check('rmsNormBackward', [g, x, weight], x, weight);
    return { shape: x.shape, dtype: 'f32' };
  },
  wgsl([, x, weight], _, { eps }, device) {
    const n = weight.shape[0];
    const body = `  let base = row * p.n;
  var squares = 0.0;
  var dot = 0.0;
  for (var i = lane; i < p.n; i += LANES) {
    let x = xs[base + i];
    squares += x * x;
    dot += gs[base + i] * weights[i] * x;
  }
  let r = inverseSqrt(reduceSum(squares, lane) / f32(p.n) + p.eps);
  let pull = reduceSum(dot, lane) * r * r * r / f32(p.n);
  for (var i = lane; i < p.n; i += LANES) {
    out[base + i] = r * gs[base + i] * weights[i] - pull * xs[base + i];
  }`;
    const inputs = ['gs: f32', 'xs: f32', 'weights: f32'];
    return {
      code: rowShader(device, { name: 'rmsNormBackward', inputs, params: ['n: u32', 'eps: f32'], body }),
      workgroups: rowWorkgroups(size(x.shape) / n),
      immediates: [size(x.shape) / n, n, { f32: eps }],
    };
  },
  gpujs([, , weight], _, { eps }) {
    const n = weight.shape[0];
    return {
      host: ([gs, xs, weights], out) => {
        for (let base = 0; base < out.length; base += n) {
          let squares = 0;
          let dot = 0;
          for (let i = 0; i < n; i++) {
            squares += xs[base + i] * xs[base + i];
            dot += gs[base + i] * weights[i] * xs[base + i];
          }
          const r = 1 / Math.sqrt(squares / n + eps);
          const pull = (dot * r * r * r) / n;
          for (let i = 0; i < n; i++) out[base + i] = r * gs[base + i] * weights[i] - pull * xs[base + i];
        }
      },
    };
  },
  vjp: 'composed',
  composed([g, x, weight], { eps }) {
    const r = inverseRms(x, eps);
    const gw = mul(g, weight);
    const pull = mul(sum(mul(gw, x), last), mul(r, square(r)));
    return sub(mul(r, gw), mulScalar(mul(x, pull), 1 / weight.shape[0]));
  },
  samples: [{ shapes: [[2, 3, 8], [2, 3, 8], [8]], attrs: { eps: 1e-5 } }],
});

/**
 * w∘x / √(mean x² + eps) along the last axis. x f32 [.., e], weight f32 [e] → f32 [.., e].
 * Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", eq. 4.
 */
export const rmsNorm = (x: Tensor, weight: Tensor, eps: number): Tensor =>
  apply(rmsNormOp, [x, weight], { eps });
