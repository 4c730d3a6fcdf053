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

/** WGSL statements of a butterfly of a power of two on x0 … x(R−1) (vec2f), and the names of its results. */
export function powerButterflyWgsl(radix: number): {
  readonly lines: string;
  readonly outputs: readonly string[];
} {
  const lines: string[] = [];
  const points = Array.from({ length: radix }, (_, r) => `x${r}`);
  const outputs = powerWgsl(points, lines);
  return { lines: lines.join('\n'), outputs };
}

/** Splits even from odd points, as far as it goes. Appends statements; returns the names of the results. */
function powerWgsl(points: readonly string[], lines: string[]): string[] {
  const n = points.length;
  if (n === 1) return [...points];
  const even = powerWgsl(
    points.filter((_, i) => i % 2 === 0),
    lines,
  );
  const odd = powerWgsl(
    points.filter((_, i) => i % 2 === 1),
    lines,
  );
  const at = lines.length;
  const turned = odd.map((value, k) => {
    lines.push(`  let t${at}_${k} = ${turnedWgsl(value, k, n)};`);
    return `t${at}_${k}`;
  });
  const names = [...even, ...odd].map((_, k) => `y${at}_${k}`);
  even.forEach((value, k) => {
    lines.push(`  let ${names[k]} = ${value} + ${turned[k]};`);
    lines.push(`  let ${names[k + n / 2]} = ${value} - ${turned[k]};`);
  });
  return names;
}

/** value·e^(−2πi·k/n), 0 ≤ k < n/2. */
function turnedWgsl(value: string, k: number, n: number): string {
  if (k === 0) return value;
  if (4 * k === n) return `vec2f(${value}.y, -${value}.x)`;
  const [c, s] = rootOfUnity(k, n);
  return `turn(${value}, vec2f(${c}, ${s}))`;
}

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
  const sums = [0, 1, 2];
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
