import { ShapeError } from '../../errors.ts';
import { kernel } from '../../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../../op.ts';
import { showAll, size } from '../../shape.ts';
import { i32, wasmKernel } from '../../wasm/index.ts';
import { ComplexLanes, lanesFor, pairAt, product } from './complex-lanes.ts';
import { checkComplex, pairs, turnWgsl } from './pass.ts';

interface MultiplyAttrs {
  /** Length of the result's rows; beyond the table's length they are zero. */
  readonly length: number;
  /** Whether element k is product −k mod length, so that a DFT after it is an inverse one. */
  readonly reversed: boolean;
}

/** Elements of a row that are an item on the CPU. */
const block = 256;

/** x_k·t_k for each row of complex numbers. f32 x [count, n, 2], t [m ≤ n, 2] → [count, length, 2]. */
export const complexMultiplyOp: KernelOp<MultiplyAttrs> = defineOp({
  kind: 'kernel',
  name: 'complexMultiply',
  infer(inputs, { length }) {
    checkComplex('complexMultiply', inputs, [3, 2]);
    const [x, t] = inputs;
    if (t.shape[0] > x.shape[1] || t.shape[0] > length) {
      throw new ShapeError(
        `complexMultiply: the table must fit the rows and ${length}, got ${showAll(inputs)}`,
      );
    }
    return { shape: [x.shape[0], length, 2], dtype: 'f32' };
  },
  wgsl: ([x, t], [output], { length, reversed }) =>
    kernel({
      name: 'complexMultiply',
      in: { xs: pairs, ts: pairs },
      out: { out: pairs },
      params: { n: x.shape[1], m: t.shape[0], length, reversed: reversed ? 1 : 0 },
      grid: { cells: size(output.shape) / 2 },
      declarations: () => turnWgsl,
      body: () => `  let row = flat / p.length;
  var k = flat % p.length;
  if (p.reversed == 1u && k > 0u) { k = p.length - k; }
  var product = vec2f();
  if (k < p.m) {
    product = turn(xs[row * p.n + k], ts[k]);
  }
  out[flat] = product;`,
    }),
  wasm([x, t], [output], { length, reversed }) {
    const [count, n] = x.shape;
    const m = t.shape[0];
    const lanes = lanesFor(m);
    const blocks = Math.ceil(length / block);
    return wasmKernel({
      name: 'complexMultiply',
      in: { xs: x, ts: t },
      out: { out: output },
      params: { n, m, length, blocks },
      items: count * blocks,
      cost: block,
      variant: [lanes, reversed],
      body: (w, { xs, ts, out, n, m, length, blocks }) => {
        const complex = new ComplexLanes(w, lanes);
        w.range(w.from, w.to, 1, (item) => {
          const row = w.let(i32.divU(item, blocks));
          const start = w.let(i32.mul(i32.sub(item, i32.mul(row, blocks)), block));
          const end = w.let(i32.min(w.let(i32.add(start, block)), length));
          const from = w.let(pairAt(xs, i32.mul(row, n)));
          const to = w.let(pairAt(out, i32.mul(row, length)));
          w.range(start, w.let(i32.min(end, m)), lanes, (at) => {
            const k = w.let(i32.min(at, w.let(i32.sub(m, lanes))));
            const value = product(w, complex.load(pairAt(from, k)), complex.load(pairAt(ts, k)));
            const back = w.let(i32.sub(length, k));
            if (!reversed) complex.store(pairAt(to, k), value);
            else complex.storeBackwards(pairAt(to, i32.select(back, 0, k)), pairAt(to, back), value);
          });
          const zeros = w.let(i32.select(start, m, i32.gtS(start, m)));
          w.if(i32.ltS(zeros, end), () => {
            const first = reversed ? i32.add(i32.sub(length, end), 1) : zeros;
            w.zero(pairAt(to, first), i32.shl(i32.sub(end, zeros), 3));
          });
        });
      },
    });
  },
  host([x, t], _, { length, reversed }) {
    const [count, n] = x.shape;
    const m = t.shape[0];
    return ([xs, ts], [out]) => {
      out.fill(0);
      for (let row = 0; row < count; row++) {
        for (let k = 0; k < m; k++) {
          const from = 2 * (row * n + k);
          const to = 2 * (row * length + (reversed && k > 0 ? length - k : k));
          out[to] = xs[from] * ts[2 * k] - xs[from + 1] * ts[2 * k + 1];
          out[to + 1] = xs[from] * ts[2 * k + 1] + xs[from + 1] * ts[2 * k];
        }
      }
    };
  },
  // Only whole transforms are recorded; their adjoint is a whole transform too.
  vjp: null,
  samples: [
    sample('[3, 5, 2] [5, 2]', { length: 9, reversed: false }),
    sample('[3, 7, 2] [7, 2]', { length: 7, reversed: true }),
    sample('[2, 8, 2] [1, 2]', { length: 3, reversed: false }),
  ],
  known: [known('[[[1, 2], [3, 5]]] [[1, 0], [0, 1]]', [1, 2, 0, 0, -5, 3], { length: 3, reversed: true })],
});
