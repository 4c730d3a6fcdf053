import { DTypeError, ShapeError } from '../errors.ts';
import { defineOp, type Op } from '../op.ts';
import { type Spec, showAll, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { grid1d, load, load4, shader, storageType } from '../wgsl.ts';
import { reshape } from './reshape.ts';

// Reading rows by index and adding rows to where they were read are adjoint, so they live together.
// An index that is negative or past the table has no row: it reads zeros, and adds to nothing.

type NoAttrs = Readonly<Record<string, never>>;

const gatherOp: Op<NoAttrs> = defineOp<NoAttrs>({
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
  wgsl([table], output) {
    const [v, e] = table.shape;
    const lanes = e % 4 === 0 ? 4 : 1;
    const cells = size(output.shape) / lanes;
    const type = storageType('f32', lanes);
    return {
      code: `// gather\n${shader({
        inputs: [`table: ${storageType(table.dtype, lanes)}`, 'ids: i32'],
        output: `out: ${type}`,
        params: ['cells: u32', 'v: u32', 'width: u32'],
        workgroup: 64,
        body: `  if (flat >= p.cells) { return; }
  let row = u32(ids[flat / p.width]);
  var value = ${type}();
  let at = row * p.width + flat % p.width;
  if (row < p.v) { value = ${(lanes === 4 ? load4 : load)('table', table.dtype, 'at')}; }
  out[flat] = value;`,
      })}`,
      workgroups: grid1d(cells, 64),
      immediates: [cells, v, e / lanes],
    };
  },
  gpujs([table]) {
    const [v, e] = table.shape;
    return {
      host: ([rows, ids], out) => {
        out.fill(0);
        ids.forEach((id, i) => {
          if (id >= 0 && id < v) out.set(rows.subarray(id * e, (id + 1) * e), i * e);
        });
      },
    };
  },
  vjp: (g, [table, ids]) => [() => scatterAdd(g, ids, table.shape[0]), null],
  samples: [
    { shapes: [[6, 8], [5]], attrs: {} },
    {
      shapes: [
        [7, 3],
        [2, 3],
      ],
      attrs: {},
    },
    { shapes: [[6, 4], []], attrs: {} },
  ],
  domains: [undefined, { kind: 'index', below: 6 }],
  known: [
    {
      inputs: [
        { shape: [2, 2], data: [1, 2, 3, 4] },
        { shape: [4], data: [1, -1, 0, 2] },
      ],
      attrs: {},
      output: [3, 4, 0, 0, 1, 2, 0, 0],
    },
  ],
});

/**
 * Row id of the table for each id, zeros for an id outside [0, v).
 * table f32 or f16 [v, e], ids i32 [..] → f32 [.., e].
 */
export const gather = (table: Tensor, ids: Tensor): Tensor => apply(gatherOp, [table, ids], {});

function checkIds(name: string, ids: Spec): void {
  if (ids.dtype !== 'i32') throw new DTypeError(`${name}: needs ids of i32, got ${showAll([ids])}`);
  if (ids.shape.length !== 1) throw new ShapeError(`${name}: needs ids [n], got ${showAll([ids])}`);
}

interface FirstIndexAttrs {
  readonly v: number;
}

const firstIndexOp: Op<FirstIndexAttrs> = defineOp<FirstIndexAttrs>({
  name: 'firstIndex',
  infer([ids], { v }) {
    checkIds('firstIndex', ids);
    return { shape: [v], dtype: 'i32' };
  },
  wgsl: ([ids], output) => search('firstIndex', ids, size(output.shape), 'flat', '0u'),
  gpujs: ([{ shape }], _, { v }) => ({
    host: ([ids], out) => {
      out.fill(-1);
      for (let i = shape[0] - 1; i >= 0; i--) if (ids[i] >= 0 && ids[i] < v) out[ids[i]] = i;
    },
  }),
  vjp: null,
  samples: [
    { shapes: [[9]], attrs: { v: 7 } },
    { shapes: [[70]], attrs: { v: 6 } },
  ],
  domains: [{ kind: 'index', below: 6 }],
  known: [{ inputs: [{ shape: [5], data: [2, 0, 2, -1, 9] }], attrs: { v: 3 }, output: [1, -1, 0] }],
});

const nextIndexOp: Op<NoAttrs> = defineOp<NoAttrs>({
  name: 'nextIndex',
  infer([ids]) {
    checkIds('nextIndex', ids);
    return ids;
  },
  wgsl: ([ids], output) =>
    search('nextIndex', ids, size(output.shape), 'ids[flat / 4u][flat % 4u]', 'flat + 1u'),
  gpujs: () => ({
    host: ([ids], out) => {
      const seen = new Map<number, number>();
      for (let i = ids.length - 1; i >= 0; i--) {
        out[i] = seen.get(ids[i]) ?? -1;
        seen.set(ids[i], i);
      }
    },
  }),
  vjp: null,
  samples: [
    { shapes: [[1]], attrs: {} },
    { shapes: [[9]], attrs: {} },
    { shapes: [[70]], attrs: {} },
  ],
  domains: [{ kind: 'index', below: 6 }],
  known: [{ inputs: [{ shape: [5], data: [2, 0, 2, 2, 1] }], attrs: {}, output: [2, -1, 3, -1, -1] }],
});

/** For each of `cells` targets the first place from `start` on where ids hold it, or −1; four ids a step. */
function search(name: string, ids: Spec, cells: number, target: string, start: string) {
  return {
    code: `// ${name}\n${shader({
      inputs: ['ids: vec4i'],
      output: 'out: i32',
      params: ['cells: u32', 'n: u32'],
      workgroup: 64,
      body: `  if (flat >= p.cells) { return; }
  let wanted = vec4i(i32(${target}));
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
    })}`,
    workgroups: grid1d(cells, 64),
    immediates: [cells, size(ids.shape)],
  };
}

/**
 * g f32 [n, e], ids i32 [n], first i32 [v] and next i32 [n] of them → f32 [v, e]: each row walks its list.
 * Not in the op table, whose tests draw inputs: lists drawn at random have cycles.
 */
const scatterAddOp: Op<NoAttrs> = {
  name: 'scatterAdd',
  infer(inputs) {
    const [g, ids, first, next] = inputs;
    if (g.dtype !== 'f32' || [ids, first, next].some((t) => t.dtype !== 'i32')) {
      throw new DTypeError(`scatterAdd: needs rows of f32 and ids of i32, got ${showAll([g, ids])}`);
    }
    if (g.shape.length !== 2 || [ids, next].some((t) => size(t.shape) !== g.shape[0])) {
      throw new ShapeError(`scatterAdd: needs rows [.., e] and ids [..], got ${showAll([g, ids])}`);
    }
    return { shape: [first.shape[0], g.shape[1]], dtype: 'f32' };
  },
  wgsl([g], output) {
    const e = g.shape[1];
    const lanes = e % 4 === 0 ? 4 : 1;
    const cells = size(output.shape) / lanes;
    const type = storageType('f32', lanes);
    return {
      // NUMERICS: rows are added in the order of the ids, so the sum is the same every time.
      code: `// scatterAdd\n${shader({
        inputs: [`gs: ${type}`, 'ids: i32', 'heads: i32', 'next: i32'],
        output: `out: ${type}`,
        params: ['cells: u32', 'width: u32'],
        workgroup: 64,
        body: `  if (flat >= p.cells) { return; }
  var sum = ${type}();
  for (var i = heads[flat / p.width]; i >= 0; i = next[i]) { sum += gs[u32(i) * p.width + flat % p.width]; }
  out[flat] = sum;`,
      })}`,
      workgroups: grid1d(cells, 64),
      immediates: [cells, e / lanes],
    };
  },
  gpujs([g]) {
    const e = g.shape[1];
    return {
      host: ([gs, , heads, next], out) => {
        for (let cell = 0; cell < out.length; cell++) {
          let sum = 0;
          for (let i = heads[Math.floor(cell / e)]; i >= 0; i = next[i]) sum += gs[i * e + (cell % e)];
          out[cell] = sum;
        }
      },
    };
  },
  vjp: (h, [, ids]) => [() => gather(h, ids), null, null, null],
  samples: [],
};

/**
 * out[r] = Σ of the rows g[i] with ids[i] = r, added in the order of i; ids outside [0, v) are left out.
 * g f32 [.., e], ids i32 [..] → f32 [v, e]. The adjoint of `gather`.
 */
export function scatterAdd(g: Tensor, ids: Tensor, v: number): Tensor {
  const n = size(ids.shape);
  const e = g.shape.at(-1) ?? 1;
  if (size(g.shape) !== n * e || g.shape.length !== ids.shape.length + 1) {
    throw new ShapeError(`scatterAdd: needs rows [.., e] and ids [..], got ${showAll([g, ids])}`);
  }
  const list = reshape(ids, [n]);
  const first = apply(firstIndexOp, [list], { v });
  return apply(scatterAddOp, [reshape(g, [n, e]), list, first, apply(nextIndexOp, [list], {})], {});
}
