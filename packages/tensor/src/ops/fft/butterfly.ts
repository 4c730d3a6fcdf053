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

/** A butterfly in f64, in place. `table` begins with the roots of `rootsOf`. */
export type Butterfly = (re: Float64Array, im: Float64Array, table: ArrayLike<number>) => void;

/** The butterfly by its definition, R² products: what the WGSL, which needs fewer, must equal. */
export function butterflyOf(radix: number): Butterfly {
  const root = isPower(radix) ? ownRoot(radix) : rootFrom(radix);
  const [x, y] = [new Float64Array(radix), new Float64Array(radix)];
  return (re, im, table) => {
    x.set(re);
    y.set(im);
    for (let q = 0; q < radix; q++) {
      re[q] = 0;
      im[q] = 0;
      for (let r = 0; r < radix; r++) {
        const [c, s] = root(q, r, table);
        re[q] += x[r] * c - y[r] * s;
        im[q] += x[r] * s + y[r] * c;
      }
    }
  };
}

/** e^(−2πi·qr/R). */
type Root = (q: number, r: number, table: ArrayLike<number>) => readonly [number, number];

function ownRoot(radix: number): Root {
  const roots = Array.from({ length: radix }, (_, k) => rootOfUnity(k, radix));
  return (q, r) => roots[(q * r) % radix];
}

/** Read from the table, which has it for q and r up to half: beyond, each of them turns the other way. */
function rootFrom(radix: number): Root {
  const half = (radix - 1) / 2;
  return (q, r, table) => {
    if (q === 0 || r === 0) return [1, 0];
    const [line, column] = [Math.min(q, radix - q), Math.min(r, radix - r)];
    const at = 2 * ((line - 1) * half + column - 1);
    return [table[at], q > half === r > half ? table[at + 1] : -table[at + 1]];
  };
}
