import { DTypeError, ShapeError } from '../../errors.ts';
import { defineOp, type Op } from '../../op.ts';
import { type Spec, showAll } from '../../shape.ts';
import { grid1d, shader } from '../../wgsl.ts';
import { butterflyOf, butterflyWgsl, hasButterfly, rootCount, rootOfUnity, rootsOf } from './butterfly.ts';

interface PassAttrs {
  /** R: this pass's factor of the length. */
  readonly radix: number;
  /** L: the product of the factors before it. */
  readonly done: number;
}

/** Number of complex entries of a pass's table. */
const tableLength = ({ radix, done }: PassAttrs) => rootCount(radix) + (radix - 1) * done;

/** The butterfly's roots, then the twiddles e^(−2πi·rj/(RL)) at (r − 1)·L + j. f64 (re, im) pairs. */
export function passTable(attrs: PassAttrs): Float64Array {
  const { radix, done } = attrs;
  const table = new Float64Array(2 * tableLength(attrs));
  let at = 0;
  for (const [c, s] of rootsOf(radix)) {
    table[at++] = c;
    table[at++] = s;
  }
  for (let r = 1; r < radix; r++) {
    for (let j = 0; j < done; j++) {
      [table[at++], table[at++]] = rootOfUnity(r * j, radix * done);
    }
  }
  return table;
}

/** Throws unless a tensor holds f32 (re, im) pairs in `rank` axes. */
export function checkComplex(op: string, inputs: readonly Spec[], ranks: readonly number[]): void {
  if (inputs.some((t) => t.dtype !== 'f32')) throw new DTypeError(`${op}: needs f32, got ${showAll(inputs)}`);
  if (inputs.some((t, i) => t.shape.length !== ranks[i] || t.shape.at(-1) !== 2)) {
    throw new ShapeError(
      `${op}: needs ${ranks.join(' and ')} axes, the last (re, im), got ${showAll(inputs)}`,
    );
  }
}

const texts = new Map<number, string>();

function genericText(): string {
  return `// fftPass, odd radix\n${shader({
    inputs: ['xs: vec2f', 'roots: vec2f'],
    output: 'out: vec2f',
    params: ['threads: u32', 'columns: u32', 'done: u32', 'radix: u32'],
    workgroup: 64,
    declarations: `fn turn(x: vec2f, w: vec2f) -> vec2f { return vec2f(x.x * w.x - x.y * w.y, x.x * w.y + x.y * w.x); }
fn at(row: u32, t: u32, r: u32) -> vec2f {
  let x = xs[row + t + r * p.columns];
  if (p.done == 1u) { return x; }
  let half = (p.radix - 1u) / 2u;
  return turn(x, roots[half * half + (r - 1u) * p.done + t % p.done]);
}`,
    body: `  if (flat >= p.threads) { return; }
  let t = flat % p.columns;
  let row = (flat - t) * p.radix;
  let j = t % p.done;
  let half = (p.radix - 1u) / 2u;
  var a: array<vec4f, 30>;
  let x0 = xs[row + t];
  var y0 = x0;
  for (var r = 0u; r < half; r++) {
    let x = at(row, t, r + 1u);
    let y = at(row, t, p.radix - 1u - r);
    a[r] = vec4f(x + y, x - y);
    y0 += x + y;
  }
  let to = row + (t - j) * p.radix + j;
  out[to] = y0;
  for (var q = 0u; q < half; q += 4u) {
    let q0 = q;
    var s0 = vec4f(x0, 0.0, 0.0);
    let q1 = min(q + 1u, half - 1u);
    var s1 = vec4f(x0, 0.0, 0.0);
    let q2 = min(q + 2u, half - 1u);
    var s2 = vec4f(x0, 0.0, 0.0);
    let q3 = min(q + 3u, half - 1u);
    var s3 = vec4f(x0, 0.0, 0.0);
    for (var r = 0u; r < half; r++) {
      let v = a[r];
      s0 += roots[q0 * half + r].xxyy * v;
      s1 += roots[q1 * half + r].xxyy * v;
      s2 += roots[q2 * half + r].xxyy * v;
      s3 += roots[q3 * half + r].xxyy * v;
    }
    out[to + (q0 + 1u) * p.done] = vec2f(s0.x - s0.w, s0.y + s0.z);
    out[to + (p.radix - 1u - q0) * p.done] = vec2f(s0.x + s0.w, s0.y - s0.z);
    out[to + (q1 + 1u) * p.done] = vec2f(s1.x - s1.w, s1.y + s1.z);
    out[to + (p.radix - 1u - q1) * p.done] = vec2f(s1.x + s1.w, s1.y - s1.z);
    out[to + (q2 + 1u) * p.done] = vec2f(s2.x - s2.w, s2.y + s2.z);
    out[to + (p.radix - 1u - q2) * p.done] = vec2f(s2.x + s2.w, s2.y - s2.z);
    out[to + (q3 + 1u) * p.done] = vec2f(s3.x - s3.w, s3.y + s3.z);
    out[to + (p.radix - 1u - q3) * p.done] = vec2f(s3.x + s3.w, s3.y - s3.z);
  }`,
  })}`;
}

/** One text a radix. */
function passText(radix: number): string {
  if (radix % 2 === 1 && radix > 7) return genericText();
  let text = texts.get(radix);
  if (!text) {
    const points = Array.from({ length: radix }, (_, r) => r);
    text = `// fftPass, radix ${radix}\n${shader({
      inputs: ['xs: vec2f', 'roots: vec2f'],
      output: 'out: vec2f',
      params: ['threads: u32', 'columns: u32', 'done: u32'],
      workgroup: 64,
      declarations: `fn turn(x: vec2f, w: vec2f) -> vec2f { return vec2f(x.x * w.x - x.y * w.y, x.x * w.y + x.y * w.x); }`,
      body: `  if (flat >= p.threads) { return; }
  let t = flat % p.columns;
  let row = (flat - t) * ${radix}u;
  let j = t % p.done;
${points.map((r) => `  var x${r} = xs[row + t + ${r}u * p.columns];`).join('\n')}
  if (p.done > 1u) {
${points
  .slice(1)
  .map((r) => `    x${r} = turn(x${r}, roots[${rootCount(radix)}u + ${r - 1}u * p.done + j]);`)
  .join('\n')}
  }
  let to = row + (t - j) * ${radix}u + j;
${butterflyWgsl(radix, (q, value) => `  out[to + ${typeof q === 'number' ? `${q}u` : `(${q})`} * p.done] = ${value};`)}`,
    })}`;
    texts.set(radix, text);
  }
  return text;
}

/**
 * A Stockham stage of the DFT along the middle axis: y[j + L(q + Rp)] = Σ_r e^(−2πi·r(j + Lq)/(RL))·x[j + L(p + Mr)]
 * for j < L, p < M = n/(RL). f32 x [count, n, 2], table [tableLength, 2] → [count, n, 2].
 */
export const fftPassOp: Op<PassAttrs> = defineOp<PassAttrs>({
  name: 'fftPass',
  infer(inputs, attrs) {
    checkComplex('fftPass', inputs, [3, 2]);
    const [x, table] = inputs;
    const { radix, done } = attrs;
    if (!hasButterfly(radix)) throw new ShapeError(`fftPass: there is no butterfly of ${radix} points`);
    if (x.shape[1] % (radix * done) !== 0) {
      throw new ShapeError(
        `fftPass: the length must be a multiple of ${radix}·${done}, got ${showAll(inputs)}`,
      );
    }
    if (table.shape[0] !== tableLength(attrs)) {
      throw new ShapeError(
        `fftPass: the table must have ${tableLength(attrs)} entries, got ${showAll(inputs)}`,
      );
    }
    return { shape: x.shape, dtype: 'f32' };
  },
  wgsl([x], _, { radix, done }) {
    const columns = x.shape[1] / radix;
    const threads = x.shape[0] * columns;
    return { code: passText(radix), workgroups: grid1d(threads, 64), immediates: radix % 2 === 1 && radix > 7 ? [threads, columns, done, radix] : [threads, columns, done] };
  },
  gpujs([x], _, { radix, done }) {
    const [count, n] = x.shape;
    const columns = n / radix;
    const butterfly = butterflyOf(radix);
    const twiddles = 2 * rootCount(radix);
    return {
      host: ([xs, table], out) => {
        const re = new Float64Array(radix);
        const im = new Float64Array(radix);
        for (let row = 0; row < count * n; row += n) {
          for (let t = 0; t < columns; t++) {
            const j = t % done;
            for (let r = 0; r < radix; r++) {
              const from = 2 * (row + t + r * columns);
              re[r] = xs[from];
              im[r] = xs[from + 1];
            }
            for (let r = done > 1 ? 1 : radix; r < radix; r++) {
              const at = twiddles + 2 * ((r - 1) * done + j);
              const x = re[r];
              re[r] = x * table[at] - im[r] * table[at + 1];
              im[r] = x * table[at + 1] + im[r] * table[at];
            }
            butterfly(re, im, table);
            for (let q = 0; q < radix; q++) {
              const to = 2 * (row + (t - j) * radix + j + q * done);
              out[to] = re[q];
              out[to + 1] = im[q];
            }
          }
        }
      },
    };
  },
  // Only whole transforms are recorded; their adjoint is a whole transform too.
  vjp: null,
  samples: [
    ...[2, 4, 8, 16, 3, 5, 43].map((radix) => ({ radix, done: 1, rest: 3 })),
    { radix: 4, done: 6, rest: 1 },
    { radix: 16, done: 5, rest: 2 },
    { radix: 7, done: 4, rest: 2 },
  ].map(({ radix, done, rest }) => ({
    shapes: [
      [3, radix * done * rest, 2],
      [tableLength({ radix, done }), 2],
    ],
    attrs: { radix, done },
  })),
  known: [
    {
      inputs: [
        { shape: [1, 2, 2], data: [1, 2, 3, 5] },
        { shape: [1, 2], data: [1, 0] },
      ],
      attrs: { radix: 2, done: 1 },
      output: [4, 7, -2, -3],
    },
  ],
});
