import { ShapeError } from '../../errors.ts';
import { f32, type Kernel, kernel } from '../../kernel-record.ts';
import { defineOp, type KernelOp, known, sample } from '../../op.ts';
import { type Spec, showAll } from '../../shape.ts';
import { f32x4, i32, i32x4, v128, type WasmKernel, wasmKernel } from '../../wasm/index.ts';
import { rootOfUnity } from './butterfly.ts';
import { ComplexLanes, lanesFor, named, pairAt, product } from './complex-lanes.ts';
import { checkComplex, pairs, turnWgsl } from './pass.ts';

// A real vector x of even length n = 2m read as complex, z_j = x_2j + i·x_(2j+1), has a spectrum Z of m bins:
// X_k = (Z_k + Z*_(m−k))/2 − i·w_k·(Z_k − Z*_(m−k))/2 with w_k = e^(−2πi·k/n).
// One thread makes X_k and X_(m−k), which need the same two numbers.

/** Bin k is multiplied by scale, and by scale·inner where 0 < k < n/2. */
export interface BinWeights {
  readonly scale: number;
  readonly inner: number;
}

const pairsOf = (m: number) => Math.floor(m / 2) + 1;

/** w_k for k ≤ m/2: f64 (re, im) pairs. */
export function halfLengthTable(m: number): Float64Array {
  const table = new Float64Array(2 * pairsOf(m));
  for (let i = 0; i < table.length; i += 2) [table[i], table[i + 1]] = rootOfUnity(i >> 1, 2 * m);
  return table;
}

function checkTable(op: string, inputs: readonly Spec[], m: number): void {
  if (m < 1 || inputs[1].shape[0] !== pairsOf(m)) {
    throw new ShapeError(`${op}: the table must have ${pairsOf(m)} entries, got ${showAll(inputs)}`);
  }
}

/** The pair k of a row of m numbers: what both directions share. */
function pairKernel(
  name: string,
  [count, m]: readonly number[],
  { scale, inner }: BinWeights,
  body: string,
): Kernel {
  return kernel({
    name,
    in: { xs: pairs, roots: pairs },
    out: { out: pairs },
    params: { pairs: pairsOf(m), m, scale: f32(scale), inner: f32(inner) },
    grid: { cells: count * pairsOf(m) },
    declarations: () => `${turnWgsl}
fn conj(x: vec2f) -> vec2f { return vec2f(x.x, -x.y); }`,
    body: () => `  let k = flat % p.pairs;
  let half = (flat / p.pairs) * p.m;
  let bins = half + flat / p.pairs;
  let weight = p.scale * select(p.inner, 1.0, k == 0u);
  let w = roots[k];
${body}`,
  });
}

/**
 * Both directions for the CPU: with e = x_k + x*_(m−k) and d = (x_k − x*_(m−k))·u, u being −i·w_k to bins and
 * its conjugate from them, they are e + d and (e − d)*, halved. An item is four pairs of a row, the last four
 * where fewer are left.
 */
function pairKernelWasm(
  name: 'halfToBins' | 'binsToHalf',
  [xs, roots]: readonly Spec[],
  [out]: readonly Spec[],
  { scale, inner }: BinWeights,
): WasmKernel {
  const toBins = name === 'halfToBins';
  const [count, m] = (toBins ? xs : out).shape;
  const pairs = pairsOf(m);
  const lanes = lanesFor(pairs);
  const fours = Math.ceil(pairs / lanes);
  return wasmKernel({
    name,
    in: { xs, roots },
    out: { out },
    // Number 0 is made of the real parts of two bins: they are not halved.
    params: { m, pairs, fours, atZero: f32(toBins ? scale / 2 : scale), elsewhere: f32((scale * inner) / 2) },
    items: count * fours,
    cost: 7,
    variant: [lanes],
    body: (w, { xs, roots, out, m, pairs, fours, atZero, elsewhere }) => {
      const complex = new ComplexLanes(w, lanes);
      w.range(w.from, w.to, 1, (item) => {
        const row = w.let(i32.divU(item, fours));
        const at = w.let(i32.mul(i32.sub(item, i32.mul(row, fours)), lanes));
        const k = w.let(i32.min(at, w.let(i32.sub(pairs, lanes))));
        const back = w.let(i32.sub(m, k));
        const half = w.let(pairAt(toBins ? xs : out, i32.mul(row, m)));
        const bins = w.let(pairAt(toBins ? out : xs, i32.mul(row, i32.add(m, 1))));
        const halfBack = [pairAt(half, i32.select(back, 0, k)), pairAt(half, back)] as const;
        const binsBack = [pairAt(bins, back), pairAt(bins, back)] as const;
        const isZero = w.let(i32x4.eq(i32x4.splat(k), i32x4.const(0, -1, -2, -3)));
        const root = complex.load(pairAt(roots, k));

        const given = [
          complex.load(pairAt(toBins ? half : bins, k)),
          complex.loadBackwards(...(toBins ? halfBack : binsBack)),
        ];
        // From bins, neither the imaginary parts nor the root count at 0.
        const [x, y] = toBins ? given : given.map(({ re, im }) => named(w, re, v128.andnot(im, isZero)));
        const turn = toBins
          ? named(w, root.im, f32x4.neg(root.re))
          : named(w, v128.andnot(root.im, isZero), v128.bitselect(f32x4.const(1), root.re, isZero));
        const even = named(w, f32x4.add(x.re, y.re), f32x4.sub(x.im, y.im));
        const difference = named(w, f32x4.sub(x.re, y.re), f32x4.add(x.im, y.im));
        const odd = product(w, difference, turn);
        const weight = w.let(v128.bitselect(f32x4.splat(atZero), f32x4.splat(elsewhere), isZero));
        const sum = {
          re: f32x4.mul(weight, f32x4.add(even.re, odd.re)),
          im: f32x4.mul(weight, f32x4.add(even.im, odd.im)),
        };
        const rest = {
          re: f32x4.mul(weight, f32x4.sub(even.re, odd.re)),
          im: f32x4.mul(weight, f32x4.sub(odd.im, even.im)),
        };
        if (toBins) {
          complex.store(pairAt(bins, k), sum);
          complex.storeBackwards(...binsBack, rest);
        } else {
          complex.storeBackwards(...halfBack, sum);
          complex.store(pairAt(half, k), rest);
        }
      });
    },
  });
}

/** Weighted bins of real vectors. f32 Z [count, m, 2], table [⌊m/2⌋ + 1, 2] → [count, m + 1, 2]. */
export const halfToBinsOp: KernelOp<BinWeights> = defineOp({
  kind: 'kernel',
  name: 'halfToBins',
  infer(inputs) {
    checkComplex('halfToBins', inputs, [3, 2]);
    const [count, m] = inputs[0].shape;
    checkTable('halfToBins', inputs, m);
    return { shape: [count, m + 1, 2], dtype: 'f32' };
  },
  wgsl: ([z], _, weights) =>
    pairKernel(
      'halfToBins',
      z.shape,
      weights,
      `  let z = xs[half + k];
  let zm = conj(xs[half + select(p.m - k, 0u, k == 0u)]);
  let even = 0.5 * (z + zm);
  let d = 0.5 * (z - zm);
  let odd = turn(vec2f(d.y, -d.x), w);
  out[bins + k] = weight * (even + odd);
  out[bins + p.m - k] = weight * conj(even - odd);`,
    ),
  wasm: (inputs, outputs, weights) => pairKernelWasm('halfToBins', inputs, outputs, weights),
  host([z], _, { scale, inner }) {
    const [count, m] = z.shape;
    return ([zs, table], [out]) => {
      for (let row = 0; row < count; row++) {
        for (let k = 0; k < pairsOf(m); k++) {
          const weight = k === 0 ? scale : scale * inner;
          const at = 2 * (row * m + k);
          const atM = 2 * (row * m + (k === 0 ? 0 : m - k));
          const [c, s] = [table[2 * k], table[2 * k + 1]];
          const evenX = (zs[at] + zs[atM]) / 2;
          const evenY = (zs[at + 1] - zs[atM + 1]) / 2;
          const x = (zs[at + 1] + zs[atM + 1]) / 2;
          const y = (zs[atM] - zs[at]) / 2;
          const oddX = x * c - y * s;
          const oddY = x * s + y * c;
          const to = 2 * (row * (m + 1) + k);
          const toM = 2 * (row * (m + 1) + m - k);
          out[to] = weight * (evenX + oddX);
          out[to + 1] = weight * (evenY + oddY);
          out[toM] = weight * (evenX - oddX);
          out[toM + 1] = weight * (oddY - evenY);
        }
      }
    };
  },
  // Only whole transforms are recorded; their adjoint is a whole transform too.
  vjp: null,
  samples: [1, 2, 5, 8].map((m) => sample(`[3, ${m}, 2] [${pairsOf(m)}, 2]`, { scale: 0.75, inner: 2 })),
  known: [known('[[[3, 5]]] [[1, 0]]', [16, 0, -4, 0], { scale: 2, inner: 1 })],
});

/**
 * The adjoint of `halfToBins`, its element k at −k mod m, so that a DFT after it is an inverse one.
 * The imaginary parts of the first and last bin do not count.
 * f32 X [count, m + 1, 2], table [⌊m/2⌋ + 1, 2] → [count, m, 2].
 */
export const binsToHalfOp: KernelOp<BinWeights> = defineOp({
  kind: 'kernel',
  name: 'binsToHalf',
  infer(inputs) {
    checkComplex('binsToHalf', inputs, [3, 2]);
    const [count, bins] = inputs[0].shape;
    checkTable('binsToHalf', inputs, bins - 1);
    return { shape: [count, bins - 1, 2], dtype: 'f32' };
  },
  wgsl: (_, [output], weights) =>
    pairKernel(
      'binsToHalf',
      output.shape,
      weights,
      `  let x = xs[bins + k];
  let xm = conj(xs[bins + p.m - k]);
  if (k == 0u) {
    out[half] = weight * vec2f(x.x + xm.x, x.x - xm.x);
    return;
  }
  let even = 0.5 * (x + xm);
  let d = turn(0.5 * (x - xm), conj(w));
  let odd = vec2f(-d.y, d.x);
  out[half + p.m - k] = weight * (even + odd);
  out[half + k] = weight * conj(even - odd);`,
    ),
  wasm: (inputs, outputs, weights) => pairKernelWasm('binsToHalf', inputs, outputs, weights),
  host(_, [output], { scale, inner }) {
    const [count, m] = output.shape;
    return ([xs, table], [out]) => {
      for (let row = 0; row < count; row++) {
        const bins = 2 * row * (m + 1);
        const half = 2 * row * m;
        out[half] = scale * (xs[bins] + xs[bins + 2 * m]);
        out[half + 1] = scale * (xs[bins] - xs[bins + 2 * m]);
        for (let k = 1; k < pairsOf(m); k++) {
          const weight = scale * inner;
          const [at, atM] = [bins + 2 * k, bins + 2 * (m - k)];
          const [c, s] = [table[2 * k], -table[2 * k + 1]];
          const evenX = (xs[at] + xs[atM]) / 2;
          const evenY = (xs[at + 1] - xs[atM + 1]) / 2;
          const dx = (xs[at] - xs[atM]) / 2;
          const dy = (xs[at + 1] + xs[atM + 1]) / 2;
          const oddX = -(dx * s + dy * c);
          const oddY = dx * c - dy * s;
          const [to, toM] = [half + 2 * (m - k), half + 2 * k];
          out[to] = weight * (evenX + oddX);
          out[to + 1] = weight * (evenY + oddY);
          out[toM] = weight * (evenX - oddX);
          out[toM + 1] = weight * (oddY - evenY);
        }
      }
    };
  },
  // Only whole transforms are recorded; their adjoint is a whole transform too.
  vjp: null,
  samples: [1, 2, 5, 8].map((m) => sample(`[3, ${m + 1}, 2] [${pairsOf(m)}, 2]`, { scale: 0.75, inner: 2 })),
  known: [known('[[[3, 7], [5, 9]]] [[1, 0]]', [16, -4], { scale: 2, inner: 1 })],
});
