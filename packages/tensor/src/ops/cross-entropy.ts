import { DTypeError, ShapeError } from '../errors.ts';
import { defineOp, type Op } from '../op.ts';
import { rowShader, rowWorkgroups } from '../row-program.ts';
import { type Spec, show, showAll, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { grid1d, shader } from '../wgsl.ts';
import { mul, neg, sub } from './arithmetic.ts';
import { reshape } from './reshape.ts';
import { logSoftmax, softmax } from './softmax.ts';
import { sum } from './sum.ts';

type NoAttrs = Readonly<Record<string, never>>;

function check(name: string, logits: Spec, labels: Spec): void {
  if (logits.dtype !== 'f32' || labels.dtype !== 'i32') {
    throw new DTypeError(`${name}: needs f32 logits and i32 labels, got ${showAll([logits, labels])}`);
  }
  if (logits.shape.length !== 2 || labels.shape.length !== 1 || labels.shape[0] !== logits.shape[0]) {
    throw new ShapeError(`${name}: needs [n, v] and [n], got ${showAll([logits, labels])}`);
  }
}

const rowTotal = `  let base = row * p.n;
  let label = labels[row];
  var top = -3.4e38;
  for (var i = lane; i < p.n; i += LANES) { top = max(top, xs[base + i]); }
  top = reduceMax(top, lane);
  var total = 0.0;
  for (var i = lane; i < p.n; i += LANES) { total += exp(xs[base + i] - top); }
  total = reduceSum(total, lane);`;

/** ln Σ e^x of the row at `base`, as [largest, Σ e^(x − largest)]. */
function rowSum(xs: ArrayLike<number>, base: number, n: number): [number, number] {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = base; i < base + n; i++) top = Math.max(top, xs[i]);
  let total = 0;
  for (let i = base; i < base + n; i++) total += Math.exp(xs[i] - top);
  return [top, total];
}

const crossEntropyOp: Op<NoAttrs> = defineOp<NoAttrs>({
  name: 'crossEntropy',
  infer([logits, labels]) {
    check('crossEntropy', logits, labels);
    return { shape: labels.shape, dtype: 'f32' };
  },
  wgsl([logits], _output, _attrs, device) {
    const [n, v] = logits.shape;
    const body = `${rowTotal}
  if (lane == 0u) { out[row] = select(top + log(total) - xs[base + u32(max(label, 0))], 0.0, label < 0); }`;
    const inputs = ['xs: f32', 'labels: i32'];
    return {
      code: rowShader(device, { name: 'crossEntropy', inputs, params: ['n: u32'], body }),
      workgroups: rowWorkgroups(n),
      immediates: [n, v],
    };
  },
  gpujs([logits]) {
    const v = logits.shape[1];
    return {
      host: ([xs, labels], out) => {
        for (let row = 0; row < out.length; row++) {
          const [top, total] = rowSum(xs, row * v, v);
          out[row] = labels[row] < 0 ? 0 : top + Math.log(total) - xs[row * v + labels[row]];
        }
      },
    };
  },
  vjp: (g, [logits, labels]) => [() => apply(crossEntropyBackwardOp, [g, logits, labels], {}), null],
  composed: ([logits, labels]) =>
    neg(sum(mul(logSoftmax(logits), oneHot(labels, logits.shape[1])), { axes: [1] })),
  samples: [
    { shapes: [[3, 9], [3]], attrs: {} },
    { shapes: [[5, 4], [5]], attrs: {} },
  ],
  domains: [undefined, { kind: 'index', below: 4 }],
  known: [
    {
      inputs: [
        { shape: [2, 1], data: [7, 7] },
        { shape: [2], data: [0, -100] },
      ],
      attrs: {},
      output: [0, 0],
    },
  ],
});

/** g·(softmax(x) − onehot(label)), zero in unscored rows. g [n], x [n, v], labels [n] → f32 [n, v]. */
const crossEntropyBackwardOp: Op<NoAttrs> = defineOp<NoAttrs>({
  name: 'crossEntropyBackward',
  infer([g, logits, labels]) {
    check('crossEntropyBackward', logits, labels);
    if (g.dtype !== 'f32') throw new DTypeError(`crossEntropyBackward: needs f32, got ${show(g)}`);
    return { shape: logits.shape, dtype: 'f32' };
  },
  wgsl([, logits], _output, _attrs, device) {
    const [n, v] = logits.shape;
    const body = `${rowTotal}
  let share = select(gs[row], 0.0, label < 0) / total;
  for (var i = lane; i < p.n; i += LANES) {
    let hit = select(0.0, gs[row], i32(i) == label);
    out[base + i] = share * exp(xs[base + i] - top) - hit;
  }`;
    const inputs = ['gs: f32', 'xs: f32', 'labels: i32'];
    return {
      code: rowShader(device, { name: 'crossEntropyBackward', inputs, params: ['n: u32'], body }),
      workgroups: rowWorkgroups(n),
      immediates: [n, v],
    };
  },
  gpujs([, logits]) {
    const [n, v] = logits.shape;
    return {
      host: ([gs, xs, labels], out) => {
        for (let row = 0; row < n; row++) {
          const base = row * v;
          const g = labels[row] < 0 ? 0 : gs[row];
          const [top, total] = rowSum(xs, base, v);
          for (let i = 0; i < v; i++) out[base + i] = (g * Math.exp(xs[base + i] - top)) / total;
          if (labels[row] >= 0) out[base + labels[row]] -= g;
        }
      },
    };
  },
  vjp: 'composed',
  composed([g, logits, labels]) {
    const hits = oneHot(labels, logits.shape[1]);
    const scored = sum(hits, { axes: [1], keepDims: true });
    return mul(mul(sub(softmax(logits), hits), scored), reshape(g, [g.shape[0], 1]));
  },
  samples: [{ shapes: [[3], [3, 9], [3]], attrs: {} }],
  domains: [undefined, undefined, { kind: 'index', below: 9 }],
});

interface OneHotAttrs {
  readonly classes: number;
}

const oneHotOp: Op<OneHotAttrs> = defineOp<OneHotAttrs>({
  name: 'oneHot',
  infer([labels], { classes }) {
    if (labels.dtype !== 'i32') throw new DTypeError(`oneHot: needs i32, got ${show(labels)}`);
    return { shape: [...labels.shape, classes], dtype: 'f32' };
  },
  wgsl(_inputs, output, { classes }) {
    const cells = size(output.shape);
    return {
      code: `// oneHot\n${shader({
        inputs: ['labels: i32'],
        output: 'out: f32',
        params: ['cells: u32', 'classes: u32'],
        workgroup: 64,
        body: `  if (flat >= p.cells) { return; }
  out[flat] = select(0.0, 1.0, labels[flat / p.classes] == i32(flat % p.classes));`,
      })}`,
      workgroups: grid1d(cells, 64),
      immediates: [cells, classes],
    };
  },
  gpujs(_inputs, _output, { classes }) {
    return {
      host: ([labels], out) => {
        out.fill(0);
        for (let i = 0; i < labels.length; i++) {
          if (labels[i] >= 0 && labels[i] < classes) out[i * classes + labels[i]] = 1;
        }
      },
    };
  },
  vjp: null,
  samples: [{ shapes: [[4]], attrs: { classes: 5 } }],
  domains: [{ kind: 'index', below: 5 }],
  known: [{ inputs: [{ shape: [2], data: [1, -1] }], attrs: { classes: 2 }, output: [0, 1, 0, 0] }],
});

/**
 * 1 where the last axis equals the label, else 0; a negative label gives zeros. i32 [..] → f32 [.., classes].
 */
export const oneHot = (labels: Tensor, classes: number): Tensor => apply(oneHotOp, [labels], { classes });

/**
 * −ln softmax(logits)[label] of each row; 0 where the label is negative (−100: not scored). f32 [n, v], i32
 * [n] → f32 [n].
 */
export const crossEntropy = (logits: Tensor, labels: Tensor): Tensor =>
  apply(crossEntropyOp, [logits, labels], {});
