// A butterfly is the DFT of a few points, y_q = Σ_r x_r·e^(−2πi·qr/R). R is a power of two up to `largestPower`, or
// odd, up to `largestPrime`.

/** Points of the largest butterfly whose factors are twos. */
export const largestPower = 16;

/** The largest prime with a butterfly of its own; its work grows with R², so beyond it Bluestein's way is faster. */
export const largestPrime = 61;

/** Whether there is a butterfly of that many points. */
export function hasButterfly(radix: number): boolean {
  if (isPower(radix)) return radix <= largestPower && (radix & (radix - 1)) === 0;
  return radix >= 3 && radix <= largestPrime;
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

/**
 * WGSL statements of a butterfly on the variables x0 … x(R−1) (vec2f), which ends by calling `store(q, value)` for
 * each point. An odd radix reads `roots[i]`.
 */
export function butterflyWgsl(radix: number, store: (q: number | string, value: string) => string): string {
  if (!isPower(radix)) return oddWgsl(radix, store);
  const lines: string[] = [];
  const outputs = powerWgsl(
    Array.from({ length: radix }, (_, r) => `x${r}`),
    lines,
  );
  return [...lines, ...outputs.map((value, q) => store(q, value))].join('\n');
}

/** Splits even from odd points, as far as it goes. Appends statements and returns the names of the results. */
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

/** y_q and y_(R−q) share Σ cos·(x_r + x_(R−r)) and Σ sin·(x_r − x_(R−r)), a quarter of the products. */
function oddWgsl(radix: number, store: (q: number | string, value: string) => string): string {
  const half = (radix - 1) / 2;
  const pairs = Array.from({ length: half }, (_, i) => i + 1);
  return `${pairs
    .map((r) => `  let a${r} = x${r} + x${radix - r};\n  let b${r} = x${r} - x${radix - r};`)
    .join('\n')}
${store(0, `x0 + ${pairs.map((r) => `a${r}`).join(' + ')}`)}
  for (var q = 1u; q <= ${half}u; q++) {
    let at = (q - 1u) * ${half}u;
    var c = x0;
    var s = vec2f();
    var w = vec2f();
${pairs.map((r) => `    w = roots[at + ${r - 1}u]; c += w.x * a${r}; s += w.y * b${r};`).join('\n')}
  ${store('q', 'vec2f(c.x - s.y, c.y + s.x)')}
  ${store(`${radix}u - q`, 'vec2f(c.x + s.y, c.y - s.x)')}
  }`;
}

/** A butterfly in f64, in place. `roots` begins with those of `rootsOf`. */
export type Butterfly = (re: Float64Array, im: Float64Array, roots: ArrayLike<number>) => void;

/** The same butterfly as `butterflyWgsl` writes. */
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

/** The indices below 2^k that differ from each other by the order of their bits alone: i, j, i, j, … with i < j. */
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
