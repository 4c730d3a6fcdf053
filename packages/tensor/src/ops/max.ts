import { DTypeError, ShapeError } from '../errors.ts';
import { defineOp, type Op } from '../op.ts';
import { rowShader, rowWorkgroups } from '../row-program.ts';
import { type Spec, show, size } from '../shape.ts';
import { apply, type Tensor, withoutRecorders } from '../tensor.ts';
import { grid1d, shader } from '../wgsl.ts';
import { div, mul } from './arithmetic.ts';
import { equal } from './comparison.ts';
import { reshape } from './reshape.ts';
import { type ReduceOptions, reduceRuns, sum } from './sum.ts';

type NoAttrs = Readonly<Record<string, never>>;

function check(name: string, x: Spec, axis: number): void {
  if (x.dtype !== 'f32') throw new DTypeError(`${name}: needs f32, got ${show(x)}`);
  if (!(x.shape[axis] > 0)) throw new ShapeError(`${name}: needs an axis with elements, got ${show(x)}`);
}

/** f32 [outer, n, inner] → f32 [outer, inner]: the largest along the middle axis. */
const maxMiddleOp: Op<NoAttrs> = defineOp<NoAttrs>({
  name: 'max',
  infer([x]) {
    check('max', x, 1);
    return { shape: [x.shape[0], x.shape[2]], dtype: 'f32' };
  },
  wgsl([x], output, _, device) {
    const [, n, inner] = x.shape;
    const cells = size(output.shape);
    if (inner === 1) {
      const body = `  var top = xs[row * p.n];
  for (var i = lane; i < p.n; i += LANES) { top = max(top, xs[row * p.n + i]); }
  top = reduceMax(top, lane);
  if (lane == 0u) { out[row] = top; }`;
      const code = rowShader(device, { name: 'max of rows', inputs: ['xs: f32'], params: ['n: u32'], body });
      return { code, workgroups: rowWorkgroups(cells), immediates: [cells, n] };
    }
    return {
      code: `// max of columns\n${shader({
        inputs: ['xs: f32'],
        output: 'out: f32',
        params: ['cells: u32', 'n: u32', 'inner: u32'],
        workgroup: 64,
        body: `  if (flat >= p.cells) { return; }
  let start = (flat / p.inner) * p.n * p.inner + flat % p.inner;
  var top = xs[start];
  for (var i = 1u; i < p.n; i++) { top = max(top, xs[start + i * p.inner]); }
  out[flat] = top;`,
      })}`,
      workgroups: grid1d(cells, 64),
      immediates: [cells, n, inner],
    };
  },
  gpujs([x]) {
    const [, n, inner] = x.shape;
    return {
      host: ([xs], out) => {
        for (let cell = 0; cell < out.length; cell++) {
          const start = Math.floor(cell / inner) * n * inner + (cell % inner);
          let top = xs[start];
          for (let i = 1; i < n; i++) top = Math.max(top, xs[start + i * inner]);
          out[cell] = top;
        }
      },
    };
  },
  vjp: (g, [x], y) => [
    () => {
      const column = [x.shape[0], 1, x.shape[2]];
      // Who is largest is constant between ties, so the share is not differentiated again.
      const share = withoutRecorders(() => {
        const hits = equal(x, reshape(y, column));
        return div(hits, sum(hits, { axes: [1], keepDims: true }));
      });
      return mul(share, reshape(g, column));
    },
  ],
  samples: [
    [1, 1, 1],
    [3, 7, 1],
    [2, 70, 1],
    [2, 3, 5],
    [1, 9, 4],
  ].map((shape) => ({ shapes: [shape], attrs: {} })),
  known: [
    { inputs: [{ shape: [2, 2, 1], data: [1, 2, -3, -4] }], attrs: {}, output: [2, -3] },
    { inputs: [{ shape: [1, 2, 2], data: [1, 4, 3, 2] }], attrs: {}, output: [3, 4] },
  ],
});

/**
 * The largest over the axes. f32 [..] → f32 [..]. Equal ones share the gradient evenly, as in torch.amax.
 * Throws ShapeError for an axis that is not there or has no elements.
 */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduceRuns('max', x, options, (block) => apply(maxMiddleOp, [block], {}));
}

/** The longest row whose places f32 counts exactly. */
const maxRow = 2 ** 24;

/** f32 [rows, n] → i32 [rows]. */
const argmaxOp: Op<NoAttrs> = defineOp<NoAttrs>({
  name: 'argmax',
  infer([x]) {
    check('argmax', x, 1);
    if (x.shape[1] > maxRow) throw new ShapeError(`argmax: takes rows of up to ${maxRow}, got ${show(x)}`);
    return { shape: [x.shape[0]], dtype: 'i32' };
  },
  wgsl([x], _output, _attrs, device) {
    const [rows, n] = x.shape;
    // The first of several is the one with the most elements from it to the row's end.
    const body = `  var top = xs[row * p.n];
  var at = 0u;
  for (var i = lane; i < p.n; i += LANES) {
    let x = xs[row * p.n + i];
    if (x > top || i == lane) { top = x; at = i; }
  }
  let rest = select(0.0, f32(p.n - at), top == reduceMax(top, lane) && lane < p.n);
  let most = u32(reduceMax(rest, lane));
  if (lane == 0u) { out[row] = i32(p.n - most); }`;
    return {
      code: rowShader(device, {
        name: 'argmax',
        inputs: ['xs: f32'],
        output: 'out: i32',
        params: ['n: u32'],
        body,
      }),
      workgroups: rowWorkgroups(rows),
      immediates: [rows, n],
    };
  },
  gpujs([x]) {
    const n = x.shape[1];
    return {
      host: ([xs], out) => {
        for (let row = 0; row < out.length; row++) {
          let best = 0;
          for (let i = 1; i < n; i++) if (xs[row * n + i] > xs[row * n + best]) best = i;
          out[row] = best;
        }
      },
    };
  },
  vjp: null,
  samples: [
    [1, 1],
    [3, 7],
    [2, 70],
    [4, 200],
  ].map((shape) => ({ shapes: [shape], attrs: {} })),
  known: [{ inputs: [{ shape: [2, 3], data: [1, 3, 3, -1, -2, -3] }], attrs: {}, output: [1, 0] }],
});

/**
 * Place of the largest along the last axis, the first of several; it has no gradient. f32 [.., n] → i32 [..].
 * Throws ShapeError for n = 0 or n > 2²⁴.
 */
export function argmax(x: Tensor): Tensor {
  const lead = x.shape.slice(0, -1);
  return reshape(apply(argmaxOp, [reshape(x, [size(lead), x.shape.at(-1) ?? 1])], {}), lead);
}
