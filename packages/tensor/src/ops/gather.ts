import { DTypeError, ShapeError } from '../errors.ts';
import { type Kernel, kernel, wide } from '../kernel-record.ts';
import { type CompositeOp, defineOp, type KernelOp, known, sample, type Vjp } from '../op.ts';
import { type Spec, sameShape, showAll, size } from '../shape.ts';
import { apply, donate, scope, type Tensor } from '../tensor.ts';
import { element, f32x4, fours, i32, i32x4, loadF16, v128, wasmKernel } from '../wasm/index.ts';
import { load, load4, storageType } from '../wgsl.ts';
import { add } from './arithmetic.ts';
import { reshape } from './reshape.ts';
import { isBeyondBinding, rowWindows } from './row-windows.ts';
import { windowAlong } from './slice-pad.ts';

// Reading rows by index and adding rows to where they were read are adjoint, so they live together.
// An index that is negative or past the table has no row: it reads zeros, and adds to nothing.

type NoAttrs = Readonly<Record<string, never>>;

interface GatherAttrs {
  /** Rows of the whole table, of which what is read may be a window. */
  readonly v: number;
  /** Which of them the window begins with. */
  readonly first: number;
}

const tableGradient: Vjp<object> = ([g], [table, ids]) => [() => scatterAdd(g, ids, table.shape[0]), null];

const gatherOp: KernelOp<GatherAttrs> = defineOp({
  kind: 'kernel',
  name: 'gather',
  infer([table, ids]) {
    if ((table.dtype !== 'f32' && table.dtype !== 'f16') || ids.dtype !== 'i32') {
      throw new DTypeError(
        `gather: needs a table of f32 or f16 and ids of i32, got ${showAll([table, ids])}`,
      );
    }
    if (table.shape.length !== 2)
      throw new ShapeError(`gather: needs a table [v, e], got ${showAll([table, ids])}`);
    return { shape: [...ids.shape, table.shape[1]], dtype: 'f32' };
  },
  wgsl([table, ids], [output], { first }) {
    const [count, e] = table.shape;
    const lanes = e % 4 === 0 ? 4 : 1;
    return kernel({
      name: 'gather',
      in: { table: wide(table, lanes), ids },
      out: { out: wide(output, lanes) },
      params: { count, first, width: e / lanes },
      grid: { cells: size(output.shape) / lanes },
      // An index before the window wraps around to a large number, so one comparison tells both ends.
      body: () => `  let row = u32(ids[flat / p.width]) - p.first;
  var value = ${storageType('f32', lanes)}();
  let at = row * p.width + flat % p.width;
  if (row < p.count) { value = ${(lanes === 4 ? load4 : load)('table', table.dtype, 'at')}; }
  out[flat] = value;`,
    });
  },
  host([table], _, { first }) {
    const [count, e] = table.shape;
    return ([rows, ids], [out]) => {
      out.fill(0);
      ids.forEach((id, i) => {
        const row = id - first;
        if (row >= 0 && row < count) out.set(rows.subarray(row * e, (row + 1) * e), i * e);
      });
    };
  },
  wasm([table, ids], [output], { first }) {
    const [count, e] = table.shape;
    const half = table.dtype === 'f16';
    return wasmKernel({
      name: 'gather',
      in: { table, ids },
      out: { out: output },
      params: { count, first, e },
      items: size(ids.shape),
      cost: 5 + e / 8,
      body: (w, { table, ids, out, count, first, e }) =>
        w.range(w.from, w.to, 1, (i) => {
          const row = w.let(i32.sub(i32.load(element(ids, i)), first));
          const to = w.let(element(out, i32.mul(i, e)));
          const read = () => {
            const from = w.let(i32.add(table, i32.shl(i32.mul(row, e), half ? 1 : 2)));
            fours(w, e, (j, four) => {
              const value = half ? loadF16(i32.add(from, i32.shl(j, 1))) : v128.load(element(from, j));
              four.store(element(to, j), value);
            });
          };
          w.if(i32.ltU(row, count), read, () => w.zero(to, i32.shl(e, 2)));
        }),
    });
  },
  indices: (_, { v }) => [{ input: 1, below: v }],
  vjp: tableGradient,
  samples: [
    sample('[6, 8] [5]', { v: 6, first: 0 }),
    sample('[7, 3] [2, 3]', { v: 7, first: 0 }),
    sample('[6, 4] []', { v: 6, first: 0 }),
  ],
  domains: [undefined, { kind: 'index', below: 6 }],
  known: [
    known('[[1, 2], [3, 4]] [1, -1, 0, 2]', [3, 4, 0, 0, 1, 2, 0, 0], { v: 2, first: 0 }),
    known('[[1, 2], [3, 4]] [1, -1, 2, 3]', [0, 0, 0, 0, 1, 2, 3, 4], { v: 4, first: 2 }),
  ],
});

/** `gather` of a table that is more than a kernel binds: each window of its rows gives zeros for the others. */
const gatherInWindowsOp: CompositeOp<NoAttrs> = {
  kind: 'composite',
  name: 'gatherInWindows',
  infer: ([table, ids]) => gatherOp.infer([table, ids], { v: table.shape[0], first: 0 }),
  composed([table, ids]) {
    const v = table.shape[0];
    return rowWindows(table)
      .map(({ start, count }) =>
        apply(gatherOp, [windowAlong(table, 0, start, count), ids], { v, first: start }),
      )
      .reduce((rows, others) => scope(() => add(donate(rows), donate(others))));
  },
  vjp: tableGradient,
  samples: [],
};

/**
 * Row id of the table for each id; zeros for an id outside [0, v), which is an error on a `checked` backend.
 * table f32 or f16 [v, e], ids i32 [..] → f32 [.., e].
 */
export const gather = (table: Tensor, ids: Tensor): Tensor =>
  isBeyondBinding(table)
    ? apply(gatherInWindowsOp, [table, ids], {})
    : apply(gatherOp, [table, ids], { v: table.shape[0], first: 0 });

function checkIds(name: string, ids: Spec): void {
  if (ids.dtype !== 'i32') throw new DTypeError(`${name}: needs ids of i32, got ${showAll([ids])}`);
  if (ids.shape.length !== 1) throw new ShapeError(`${name}: needs ids [n], got ${showAll([ids])}`);
}

interface FirstIndexAttrs {
  readonly v: number;
}

const firstIndexOp: KernelOp<FirstIndexAttrs> = defineOp({
  kind: 'kernel',
  name: 'firstIndex',
  infer([ids], { v }) {
    checkIds('firstIndex', ids);
    return { shape: [v], dtype: 'i32' };
  },
  wgsl: ([ids], [output]) => search('firstIndex', ids, output, 'flat', '0u'),
  host:
    (_inputs, _outputs, { v }) =>
    ([ids], [out]) => {
      out.fill(-1);
      for (let i = ids.length - 1; i >= 0; i--) if (ids[i] >= 0 && ids[i] < v) out[ids[i]] = i;
    },
  wasm([ids], [output], { v }) {
    const n = size(ids.shape);
    return wasmKernel({
      name: 'firstIndex',
      in: { ids },
      out: { out: output },
      params: { n, v },
      items: 1,
      cost: v / 8 + 2 * n,
      body: (w, { ids, out, n, v }) => {
        fours(w, v, (j, four) => four.store(element(out, j), i32x4.const(-1)));
        w.range(0, n, 1, (done) => {
          const i = w.let(i32.sub(i32.sub(n, 1), done));
          const id = w.let(i32.load(element(ids, i)));
          w.if(i32.ltU(id, v), () => w.store(element(out, id), i));
        });
      },
    });
  },
  vjp: null,
  samples: [sample('[9]', { v: 7 }), sample('[70]', { v: 6 })],
  domains: [{ kind: 'index', below: 6 }],
  known: [known('[2, 0, 2, -1, 9]', [1, -1, 0], { v: 3 })],
});

const nextIndexOp: KernelOp<NoAttrs> = defineOp({
  kind: 'kernel',
  name: 'nextIndex',
  infer([ids]) {
    checkIds('nextIndex', ids);
    return ids;
  },
  wgsl: ([ids], [output]) => search('nextIndex', ids, output, 'ids[flat / 4u][flat % 4u]', 'flat + 1u'),
  host:
    () =>
    ([ids], [out]) => {
      const seen = new Map<number, number>();
      for (let i = ids.length - 1; i >= 0; i--) {
        out[i] = seen.get(ids[i]) ?? -1;
        seen.set(ids[i], i);
      }
    },
  wasm([ids], [output]) {
    const n = size(ids.shape);
    const bits = Math.ceil(Math.log2(2 * n + 1));
    return wasmKernel({
      name: 'nextIndex',
      in: { ids },
      out: { out: output },
      params: { n, places: 2 ** bits, shift: 32 - bits },
      items: 1,
      cost: 8 * n,
      temporary: 4 * 2 ** bits,
      // A hash table of the ids that were seen, with open addressing: a place holds 0, or 1 more than where
      // its id is. Of 0, the word before the ids is read and not looked at.
      body: (w, { ids, out, n, places, shift, temporary }) => {
        w.zero(temporary, i32.shl(places, 2));
        w.range(0, n, 1, (done) => {
          const i = w.let(i32.sub(i32.sub(n, 1), done));
          const id = w.let(i32.load(element(ids, i)));
          const hash = w.let(i32.shrU(i32.mul(id, goldenRatio), shift));
          const place = w.let(element(temporary, hash));
          const seen = w.let(i32.load(place));
          const otherId = i32.ne(i32.load(element(ids, i32.sub(seen, 1))), id);
          w.while(i32.and(i32.ne(seen, 0), otherId), () => {
            w.set(hash, i32.and(i32.add(hash, 1), i32.sub(places, 1)));
            w.set(place, element(temporary, hash));
            w.set(seen, i32.load(place));
          });
          w.store(element(out, i), i32.sub(seen, 1));
          w.store(place, i32.add(i, 1));
        });
      },
    });
  },
  vjp: null,
  samples: [sample('[1]', {}), sample('[9]', {}), sample('[70]', {})],
  domains: [{ kind: 'index', below: 6 }],
  known: [known('[2, 0, 2, 2, 1]', [2, -1, 3, -1, -1], {})],
});

/** 2³² over the golden ratio: products with it spread neighbours over the whole range (Knuth, TAOCP 6.4). */
const goldenRatio = 0x9e3779b9;

/** For each target the first place from `start` on where ids hold it, or −1; four ids a step. */
function search(name: string, ids: Spec, output: Spec, target: string, start: string): Kernel {
  return kernel({
    name,
    in: { ids: wide(ids) },
    out: { out: output },
    params: { n: size(ids.shape) },
    grid: { cells: size(output.shape) },
    body: () => `  let wanted = vec4i(i32(${target}));
  let start = ${start};
  var found = -1;
  for (var block = start / 4u; 4u * block < p.n; block++) {
    let at = vec4u(4u * block) + vec4u(0u, 1u, 2u, 3u);
    let hits = (ids[block] == wanted) & (at >= vec4u(start)) & (at < vec4u(p.n));
    if (any(hits)) {
      let first = select(vec4u(p.n), at, hits);
      found = i32(min(min(first.x, first.y), min(first.z, first.w)));
      break;
    }
  }
  out[flat] = found;`,
  });
}

/**
 * g f32 [n, e], first i32 [v] and next i32 [n] of the ids → f32 [v, e]: each row walks its list. Not in the
 * op table, whose tests draw inputs: lists drawn at random have cycles.
 */
const addListsOp: KernelOp<NoAttrs> = {
  kind: 'kernel',
  name: 'addLists',
  infer: ([g, first]) => ({ shape: [first.shape[0], g.shape[1]], dtype: 'f32' }),
  wgsl([g, first, next], [output]) {
    const e = g.shape[1];
    const lanes = e % 4 === 0 ? 4 : 1;
    return kernel({
      // NUMERICS: rows are added in the order of the ids, so the sum is the same every time.
      name: 'addLists',
      in: { gs: wide(g, lanes), first, next },
      out: { out: wide(output, lanes) },
      params: { width: e / lanes },
      grid: { cells: size(output.shape) / lanes },
      body: () => `  var sum = ${storageType('f32', lanes)}();
  for (var i = first[flat / p.width]; i >= 0; i = next[i]) { sum += gs[u32(i) * p.width + flat % p.width]; }
  out[flat] = sum;`,
    });
  },
  host([g]) {
    const e = g.shape[1];
    return ([gs, first, next], [out]) => {
      for (let cell = 0; cell < out.length; cell++) {
        let sum = 0;
        for (let i = first[Math.floor(cell / e)]; i >= 0; i = next[i]) sum += gs[i * e + (cell % e)];
        out[cell] = sum;
      }
    };
  },
  wasm([g, first, next], [output]) {
    const [n, e] = g.shape;
    const [v] = first.shape;
    return wasmKernel({
      name: 'addLists',
      in: { gs: g, first, next },
      out: { out: output },
      params: { e },
      items: v,
      cost: 5 + (e / 8) * (1 + n / v),
      body: (w, { gs, first, next, out, e }) =>
        w.range(w.from, w.to, 1, (row) => {
          const to = w.let(element(out, i32.mul(row, e)));
          w.zero(to, i32.shl(e, 2));
          const i = w.let(i32.load(element(first, row)));
          w.while(i32.geS(i, 0), () => {
            const from = w.let(element(gs, i32.mul(i, e)));
            fours(w, e, (j, four) => {
              const at = w.let(element(to, j));
              four.store(at, f32x4.add(v128.load(at), v128.load(element(from, j))));
            });
            w.set(i, i32.load(element(next, i)));
          });
        }),
    });
  },
  vjp: null,
  samples: [],
};

const scatterAddOp: CompositeOp<FirstIndexAttrs> = defineOp({
  kind: 'composite',
  name: 'scatterAdd',
  infer(inputs, { v }) {
    const [g, ids] = inputs;
    if (g.dtype !== 'f32' || ids.dtype !== 'i32') {
      throw new DTypeError(`scatterAdd: needs rows of f32 and ids of i32, got ${showAll(inputs)}`);
    }
    const lead = g.shape.slice(0, -1);
    if (g.shape.length === 0 || !sameShape(lead, ids.shape)) {
      throw new ShapeError(`scatterAdd: needs rows [.., e] and ids [..], got ${showAll(inputs)}`);
    }
    return { shape: [v, g.shape.at(-1)!], dtype: 'f32' };
  },
  composed([g, ids], { v }) {
    const n = size(ids.shape);
    const list = reshape(ids, [n]);
    const rows = reshape(g, [n, g.shape.at(-1)!]);
    return apply(addListsOp, [rows, apply(firstIndexOp, [list], { v }), apply(nextIndexOp, [list], {})], {});
  },
  vjp: ([h], [, ids]) => [() => gather(h, ids), null],
  samples: [sample('[5, 8] [5]', { v: 6 }), sample('[2, 3, 3] [2, 3]', { v: 7 })],
  domains: [undefined, { kind: 'index', below: 6 }],
  known: [known('[[1], [2], [4]] [1, -1, 1]', [0, 5], { v: 2 })],
});

/**
 * out[r] = Σ of the rows g[i] with ids[i] = r, added in the order of i; ids outside [0, v) are left out.
 * g f32 [.., e], ids i32 [..] → f32 [v, e]. The adjoint of `gather`.
 */
export const scatterAdd = (g: Tensor, ids: Tensor, v: number): Tensor => apply(scatterAddOp, [g, ids], { v });
