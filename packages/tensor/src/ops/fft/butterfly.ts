import {
  type Body,
  f32x4,
  type I32,
  type Index,
  i32,
  type KernelBody,
  multiplyAdd,
  v128,
} from '../../wasm/index.ts';
import { type Complex, minus, named, pairAt, plus, product } from './complex-lanes.ts';

// A butterfly is the DFT of a few points, y_q = Σ_r x_r·e^(−2πi·qr/R). R is a power of two up to `largestPower`,
// or odd, up to `largestOdd`.

/** Points of the largest butterfly whose factors are twos. */
export const largestPower = 16;

/** The largest odd butterfly. Its work grows with R², so beyond it Bluestein's way is taken. */
export const largestOdd = 61;

/** Whether there is a butterfly of that many points. */
export function hasButterfly(radix: number): boolean {
  if (isPower(radix)) return radix <= largestPower && (radix & (radix - 1)) === 0;
  return radix >= 3 && radix <= largestOdd;
}

const isPower = (radix: number) => radix % 2 === 0;

/** cos(−2π·k/n) and sin(−2π·k/n) in f64; k is an integer. */
export function rootOfUnity(k: number, n: number): [number, number] {
  const angle = (-2 * Math.PI * (k % n)) / n;
  return [Math.cos(angle), Math.sin(angle)];
}

/** How many roots of unity a butterfly reads from its table. A power of two has them in its text. */
export function rootCount(radix: number): number {
  return isPower(radix) ? 0 : ((radix - 1) / 2) ** 2;
}

/** Those roots, (cos, sin) pairs: row q − 1, column r − 1 has e^(−2πi·qr/R), for q and r up to (R − 1)/2. */
export function* rootsOf(radix: number): Generator<[number, number]> {
  if (isPower(radix)) return;
  const half = (radix - 1) / 2;
  for (let q = 1; q <= half; q++) for (let r = 1; r <= half; r++) yield rootOfUnity(q * r, radix);
}

/** even + w·odd and even − w·odd with w = e^(−2πi·k/n), 0 ≤ k < n/2, of numbers as a language has them. */
type Join<T> = (even: T, odd: T, k: number, n: number) => readonly [T, T];

/** The butterfly of a power of two: even and odd points by themselves, as far as that goes, then joined. */
function joinedButterfly<T>(n: number, point: (r: number) => T, join: Join<T>): T[] {
  if (n === 1) return [point(0)];
  const even = joinedButterfly(n / 2, (r) => point(2 * r), join);
  const odd = joinedButterfly(n / 2, (r) => point(2 * r + 1), join);
  const pairs = even.map((value, k) => join(value, odd[k], k, n));
  return [0, 1].flatMap((half) => pairs.map((pair) => pair[half]));
}

/** WGSL statements of a butterfly of a power of two on x0 … x(R−1) (vec2f), and the names of its results. */
export function powerButterflyWgsl(radix: number): {
  readonly lines: string;
  readonly outputs: readonly string[];
} {
  const lines: string[] = [];
  const outputs = joinedButterfly(
    radix,
    (r) => `x${r}`,
    (even, odd, k, n) => {
      const at = lines.length;
      lines.push(`  let t${at} = ${turnedWgsl(odd, k, n)};`);
      lines.push(`  let y${at} = ${even} + t${at};`, `  let z${at} = ${even} - t${at};`);
      return [`y${at}`, `z${at}`];
    },
  );
  return { lines: lines.join('\n'), outputs };
}

/** value·e^(−2πi·k/n), 0 ≤ k < n/2. */
function turnedWgsl(value: string, k: number, n: number): string {
  if (k === 0) return value;
  if (4 * k === n) return `vec2f(${value}.y, -${value}.x)`;
  const [c, s] = rootOfUnity(k, n);
  return `turn(${value}, vec2f(${c}, ${s}))`;
}

/**
 * The same butterfly in WebAssembly. Four points fill half of a processor's registers, so more are joined in
 * fours: with A = R/4, y_(q+4p) = Σ_a e^(−2πi·ap/A)·z_aq, z_aq = e^(−2πi·aq/R)·Σ_r e^(−2πi·qr/4)·x_(a+rA).
 * The z_aq are kept in the thread's memory.
 */
export function powerButterflyWasm(
  w: KernelBody,
  radix: number,
  point: (r: number) => Complex,
  store: (q: number, value: Complex) => void,
): void {
  const join = joinWasm(w);
  if (radix <= 4) {
    for (const [q, y] of joinedButterfly(radix, point, join).entries()) store(q, y);
    return;
  }
  const fours = radix / 4;
  const place = (a: number, q: number) => 32 * (4 * a + q);
  for (let a = 0; a < fours; a++) {
    const sums = joinedButterfly(4, (r) => point(a + fours * r), join);
    for (const [q, sum] of sums.entries()) {
      const { re, im } = turnedWasm(w, sum, a * q, radix);
      w.store(w.scratch, re, place(a, q));
      w.store(w.scratch, im, place(a, q) + 16);
    }
  }
  for (let q = 0; q < 4; q++) {
    const kept = (a: number) =>
      named(w, v128.load(w.scratch, place(a, q)), v128.load(w.scratch, place(a, q) + 16));
    for (const [p, y] of joinedButterfly(fours, kept, join).entries()) store(q + 4 * p, y);
  }
}

/** value·e^(−2πi·k/n). */
function turnedWasm(w: Body, value: Complex, k: number, n: number): Complex {
  if (k === 0) return value;
  if (4 * k === n) return { re: value.im, im: w.let(f32x4.neg(value.re)) };
  const [re, im] = rootOfUnity(k, n).map((part) => f32x4.const(part));
  return product(w, value, { re, im });
}

const joinWasm =
  (w: Body): Join<Complex> =>
  (even, odd, k, n) => {
    const turned = turnedWasm(w, odd, k, n);
    return [plus(w, even, turned), minus(w, even, turned)];
  };

/** Results of an odd butterfly that are summed up at a time, to share what they read. */
const sums = [0, 1, 2];

/**
 * WGSL statements of a butterfly of p.radix points, odd, for x(0) given by `first`, x(r) by `point(r)`, and y(q)
 * taken by `store(q, value)`. y_q and y_(R−q) share Σ cos·(x_r + x_(R−r)) and Σ sin·(x_r − x_(R−r)): a quarter of
 * the products. One text does for every radix, and three sums at a time share the reads.
 */
export function oddButterflyWgsl(
  first: string,
  point: (r: string) => string,
  store: (q: string, value: string) => string,
): string {
  return `  let half = (p.radix - 1u) / 2u;
  var pairs: array<vec4f, ${(largestOdd - 1) / 2}>;
  let x0 = ${first};
  var y0 = x0;
  for (var r = 0u; r < half; r++) {
    let x = ${point('r + 1u')};
    let y = ${point('p.radix - 1u - r')};
    pairs[r] = vec4f(x + y, x - y);
    y0 += x + y;
  }
  ${store('0u', 'y0')}
  for (var q = 0u; q < half; q += ${sums.length}u) {
${sums
  .map(
    (i) => `    let q${i} = min(q + ${i}u, half - 1u);
    var s${i} = vec4f(x0, 0.0, 0.0);`,
  )
  .join('\n')}
    for (var r = 0u; r < half; r++) {
      let pair = pairs[r];
${sums.map((i) => `      s${i} += roots[q${i} * half + r].xxyy * pair;`).join('\n')}
    }
${sums
  .map(
    (i) => `    ${store(`q${i} + 1u`, `vec2f(s${i}.x - s${i}.w, s${i}.y + s${i}.z)`)}
    ${store(`p.radix - 1u - q${i}`, `vec2f(s${i}.x + s${i}.w, s${i}.y - s${i}.z)`)}`,
  )
  .join('\n')}
  }`;
}

/** The same butterfly in WebAssembly; `roots` is where the table of `rootsOf` begins. */
export function oddButterflyWasm(
  w: KernelBody,
  radix: I32,
  roots: I32,
  point: (r: Index) => Complex,
  store: (q: Index, value: Complex) => void,
): void {
  const half = w.let(i32.shrU(i32.sub(radix, 1), 1));
  const x0 = point(0);
  const y0 = named(w, x0.re, x0.im);
  /** x_r + x_(R−r) and x_r − x_(R−r), their real and imaginary parts, a vector each. */
  const pairs = (r: I32) => i32.add(w.scratch, i32.shl(r, 6));
  w.range(0, half, 1, (r) => {
    const x = point(w.let(i32.add(r, 1)));
    const y = point(w.let(i32.sub(i32.sub(radix, 1), r)));
    const [sum, difference] = [plus(w, x, y), minus(w, x, y)];
    const to = w.let(pairs(r));
    for (const [i, part] of [sum.re, sum.im, difference.re, difference.im].entries())
      w.store(to, part, 16 * i);
    w.set(y0.re, f32x4.add(y0.re, sum.re));
    w.set(y0.im, f32x4.add(y0.im, sum.im));
  });
  store(0, y0);
  w.range(0, half, sums.length, (first) => {
    const rows = sums.map((i) => {
      const q = w.let(i32.min(w.let(i32.add(first, i)), w.let(i32.sub(half, 1))));
      return { q, roots: w.let(pairAt(roots, i32.mul(q, half))) };
    });
    /** For each q from `start` on Σ_r cos·(x_r + x_(R−r)), or Σ_r sin·(x_r − x_(R−r)). */
    const sumsOf = (part: 0 | 1, start: Complex) => {
      const all = rows.map(() => named(w, start.re, start.im));
      w.range(0, half, 1, (r) => {
        const from = w.let(pairs(r));
        const [re, im] = [0, 16].map((offset) => w.let(v128.load(from, 32 * part + offset)));
        for (const [i, sum] of all.entries()) {
          const root = w.let(v128.load32Splat(pairAt(rows[i].roots, r), 4 * part));
          w.set(sum.re, multiplyAdd(root, re, sum.re));
          w.set(sum.im, multiplyAdd(root, im, sum.im));
        }
      });
      return all;
    };
    const cosines = sumsOf(0, x0);
    const sines = sumsOf(1, { re: f32x4.const(0), im: f32x4.const(0) });
    rows.forEach(({ q }, i) => {
      const [c, s] = [cosines[i], sines[i]];
      store(i32.add(q, 1), { re: f32x4.sub(c.re, s.im), im: f32x4.add(c.im, s.re) });
      store(i32.sub(i32.sub(radix, 1), q), { re: f32x4.add(c.re, s.im), im: f32x4.sub(c.im, s.re) });
    });
  });
}

/** A butterfly in f64, in place. `roots` begins with those of `rootsOf`. */
export type Butterfly = (re: Float64Array, im: Float64Array, roots: ArrayLike<number>) => void;

/** The same butterfly as the WGSL is of. */
export function butterflyOf(radix: number): Butterfly {
  return isPower(radix) ? powerButterfly(radix) : oddButterfly(radix);
}

function powerButterfly(radix: number): Butterfly {
  const cos = Float64Array.from({ length: radix }, (_, k) => rootOfUnity(k, radix)[0]);
  const sin = Float64Array.from({ length: radix }, (_, k) => rootOfUnity(k, radix)[1]);
  const swaps = reversedPairs(radix);
  return (re, im) => {
    for (let span = radix >> 1, step = 1; span >= 1; span >>= 1, step <<= 1) {
      for (let start = 0; start < radix; start += 2 * span) {
        for (let k = 0; k < span; k++) {
          const a = start + k;
          const b = a + span;
          const c = cos[k * step];
          const s = sin[k * step];
          const dx = re[a] - re[b];
          const dy = im[a] - im[b];
          re[a] += re[b];
          im[a] += im[b];
          re[b] = dx * c - dy * s;
          im[b] = dx * s + dy * c;
        }
      }
    }
    for (let i = 0; i < swaps.length; i += 2) {
      swap(re, swaps[i], swaps[i + 1]);
      swap(im, swaps[i], swaps[i + 1]);
    }
  };
}

/** The indices below a power of two that are each other's bits in reverse: i, j, i, j, … with i < j. */
function reversedPairs(radix: number): number[] {
  const pairs: number[] = [];
  for (let i = 0; i < radix; i++) {
    let j = 0;
    for (let bit = 1, mirror = radix >> 1; mirror > 0; bit <<= 1, mirror >>= 1) if (i & bit) j |= mirror;
    if (i < j) pairs.push(i, j);
  }
  return pairs;
}

function swap(values: Float64Array, i: number, j: number): void {
  const value = values[i];
  values[i] = values[j];
  values[j] = value;
}

function oddButterfly(radix: number): Butterfly {
  const half = (radix - 1) / 2;
  const sums = new Float64Array(4 * half);
  return (re, im, roots) => {
    const x0 = re[0];
    const y0 = im[0];
    for (let r = 1; r <= half; r++) {
      const x = re[radix - r];
      const y = im[radix - r];
      re[radix - r] = re[r] - x;
      im[radix - r] = im[r] - y;
      re[r] += x;
      im[r] += y;
      re[0] += re[r];
      im[0] += im[r];
    }
    for (let q = 1, at = 0; q <= half; q++) {
      let cx = x0;
      let cy = y0;
      let sx = 0;
      let sy = 0;
      for (let r = 1; r <= half; r++, at += 2) {
        cx += roots[at] * re[r];
        cy += roots[at] * im[r];
        sx += roots[at + 1] * re[radix - r];
        sy += roots[at + 1] * im[radix - r];
      }
      const to = 2 * (q - 1);
      sums[to] = cx - sy;
      sums[to + 1] = cy + sx;
      sums[2 * half + to] = cx + sy;
      sums[2 * half + to + 1] = cy - sx;
    }
    for (let q = 1; q <= half; q++) {
      const from = 2 * (q - 1);
      re[q] = sums[from];
      im[q] = sums[from + 1];
      re[radix - q] = sums[2 * half + from];
      im[radix - q] = sums[2 * half + from + 1];
    }
  };
}
