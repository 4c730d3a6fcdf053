import { DTypeError, ShapeError } from '../../errors.ts';
import { type Binding, kernel } from '../../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../../op.ts';
import { type Spec, showAll } from '../../shape.ts';
import { type Index, i32, type WasmKernel, wasmKernel } from '../../wasm/index.ts';
import {
  butterflyOf,
  hasButterfly,
  oddButterflyWasm,
  oddButterflyWgsl,
  powerButterflyWasm,
  powerButterflyWgsl,
  rootCount,
  rootOfUnity,
  rootsOf,
} from './butterfly.ts';
import { type Complex, ComplexLanes, lanesFor, pairAt, product } from './complex-lanes.ts';

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

/** `turn(x, w)`: the product of two complex numbers. */
export const turnWgsl =
  'fn turn(x: vec2f, w: vec2f) -> vec2f { return vec2f(x.x * w.x - x.y * w.y, x.x * w.y + x.y * w.x); }';

/** Throws unless a tensor holds f32 (re, im) pairs in `rank` axes. */
export function checkComplex(op: string, inputs: readonly Spec[], ranks: readonly number[]): void {
  if (inputs.some((t) => t.dtype !== 'f32')) throw new DTypeError(`${op}: needs f32, got ${showAll(inputs)}`);
  if (inputs.some((t, i) => t.shape.length !== ranks[i] || t.shape.at(-1) !== 2)) {
    throw new ShapeError(
      `${op}: needs ${ranks.join(' and ')} axes, the last (re, im), got ${showAll(inputs)}`,
    );
  }
}

/** A tensor of (re, im) pairs, read a pair at a time. */
export const pairs: Binding = { type: 'vec2f' };

/** The butterfly of column t of a row, an invocation each: what even and odd radices share. */
const passBody = (radix: string, butterfly: string) => `  let t = flat % p.columns;
  let row = (flat - t) * ${radix};
  let j = t % p.done;
  let to = row + (t - j) * ${radix} + j;
${butterfly}`;

function evenBody(radix: number): string {
  const { lines, outputs } = powerButterflyWgsl(radix);
  const loads = outputs.map((_, r) => `  var x${r} = xs[row + t + ${r}u * p.columns];`);
  const turns = outputs.slice(1).map((_, r) => `    x${r + 1} = turn(x${r + 1}, roots[${r}u * p.done + j]);`);
  const stores = outputs.map((value, q) => `  out[to + ${q}u * p.done] = ${value};`);
  const all = [...loads, '  if (p.done > 1u) {', ...turns, '  }', lines, ...stores];
  return passBody(`${radix}u`, all.join('\n'));
}

const oddPoint = `fn point(r: u32, column: u32, j: u32, half: u32) -> vec2f {
  let x = xs[column + r * p.columns];
  if (p.done == 1u) { return x; }
  return turn(x, roots[half * half + (r - 1u) * p.done + j]);
}`;

const oddBody = () =>
  passBody(
    'p.radix',
    oddButterflyWgsl(
      'xs[row + t]',
      (r) => `point(${r}, row + t, j, half)`,
      (q, value) => `out[to + (${q}) * p.done] = ${value};`,
    ),
  );

/**
 * The pass for the CPU. Columns whose results are neighbours make a run, L of them, or in the first pass all
 * of a row; an item is four columns of a run, the last four where fewer are left.
 */
function passKernel(x: Spec, table: Spec, output: Spec, { radix, done }: PassAttrs): WasmKernel {
  const [count, n] = x.shape;
  const columns = n / radix;
  const first = done === 1;
  const run = first ? columns : done;
  const lanes = lanesFor(run);
  const fours = Math.ceil(run / lanes);
  const even = radix % 2 === 0;
  return wasmKernel({
    name: 'fftPass',
    in: { xs: x, table },
    out: { out: output },
    params: { radix, done, columns, run, fours, runsOfRow: columns / run },
    items: ((count * columns) / run) * fours,
    cost: even ? 4 * radix : radix * (4 + radix / 5),
    variant: [even ? radix : 'odd', first, lanes],
    body: (w, { xs, table, out, radix: points, done, columns, run, fours, runsOfRow }) => {
      const complex = new ComplexLanes(w, lanes);
      const others = w.let(i32.sub(points, 1));
      const half = i32.shrU(others, 1);
      const twiddles = even ? table : w.let(pairAt(table, i32.mul(half, half)));
      w.range(w.from, w.to, 1, (item) => {
        const nth = w.let(i32.divU(item, fours));
        const at = i32.mul(i32.sub(item, i32.mul(nth, fours)), lanes);
        const j = w.let(i32.min(w.let(at), w.let(i32.sub(run, lanes))));
        const column = w.let(i32.add(i32.mul(nth, run), j));
        const row = first ? nth : i32.divU(nth, runsOfRow);
        const from = w.let(pairAt(xs, i32.add(column, i32.mul(i32.mul(row, columns), others))));
        const point = (r: Index): Complex => {
          const value = complex.load(pairAt(from, i32.mul(columns, r)));
          if (first || r === 0) return value;
          const twiddle = pairAt(twiddles, i32.add(j, i32.mul(done, i32.sub(r, 1))));
          return product(w, value, complex.load(twiddle));
        };
        // A column of the first pass has its results together, one of the others L apart.
        const to = w.let(pairAt(out, i32.sub(i32.mul(column, points), first ? 0 : i32.mul(j, others))));
        const store = (q: Index, value: Complex) => {
          if (first) complex.scatter((lane) => pairAt(to, i32.add(q, i32.mul(points, lane))), value);
          else complex.store(pairAt(to, i32.mul(done, q)), value);
        };
        if (even) powerButterflyWasm(w, radix, point, store);
        else oddButterflyWasm(w, points, table, point, store);
      });
    },
  });
}

/**
 * A Stockham stage of the DFT along the middle axis, for j < L and p < M = n/(RL):
 * y[j + L(q + Rp)] = Σ_r e^(−2πi·r(j + Lq)/(RL))·x[j + L(p + Mr)].
 * f32 x [count, n, 2], table [tableLength, 2] → [count, n, 2].
 */
export const fftPassOp: KernelOp<PassAttrs> = defineOp({
  kind: 'kernel',
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
    const even = radix % 2 === 0;
    return kernel({
      name: 'fftPass',
      in: { xs: pairs, roots: pairs },
      out: { out: pairs },
      params: { columns, done, radix },
      grid: { cells: x.shape[0] * columns },
      variant: [even ? radix : 'odd'],
      declarations: () => (even ? turnWgsl : `${turnWgsl}\n${oddPoint}`),
      body: () => (even ? evenBody(radix) : oddBody()),
    });
  },
  wasm: ([x, table], [output], attrs) => passKernel(x, table, output, attrs),
  host([x], _, { radix, done }) {
    const [count, n] = x.shape;
    const columns = n / radix;
    const butterfly = butterflyOf(radix);
    const twiddles = 2 * rootCount(radix);
    return ([xs, table], [out]) => {
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
    };
  },
  // Only whole transforms are recorded; their adjoint is a whole transform too.
  vjp: null,
  samples: [
    ...[2, 4, 8, 16, 3, 43].flatMap((radix) => [1, 6].map((rest) => ({ radix, done: 1, rest }))),
    { radix: 5, done: 3, rest: 2 },
    { radix: 4, done: 6, rest: 1 },
    { radix: 16, done: 5, rest: 2 },
    { radix: 7, done: 4, rest: 2 },
  ].map(({ radix, done, rest }) => {
    const attrs = { radix, done };
    return sample(`[3, ${radix * done * rest}, 2] [${tableLength(attrs)}, 2]`, attrs);
  }),
  known: [known('[[[1, 2], [3, 5]]] [[1, 0]]', [4, 7, -2, -3], { radix: 2, done: 1 })],
});
