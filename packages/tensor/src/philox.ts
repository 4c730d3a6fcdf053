/**
 * Philox4x32-10, a generator without state: four random words from a counter of four words and a key of two.
 * Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". The same bits on every backend.
 */

import {
  element,
  type I32,
  type Index,
  i32,
  i32x4,
  i64x2,
  type KernelBody,
  shuffle32,
  transpose4,
  type V128,
  v128,
} from './wasm/index.ts';

const multipliers = [0xd2511f53, 0xcd9e8d57] as const;
const keySteps = [0x9e3779b9, 0xbb67ae85] as const;
const rounds = 10;

/** The high 32 bits of a·b, by 16-bit halves. */
function mulHigh(a: number, b: number): number {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = ah * bl + ((al * bl) >>> 16);
  const low = al * bh + (middle % 0x10000);
  return (ah * bh + Math.floor(middle / 0x10000) + Math.floor(low / 0x10000)) >>> 0;
}

/** Four words u32 of the counter under the key, written to `out`. */
export function philox(
  out: Uint32Array,
  [k0, k1]: readonly [number, number],
  [c0, c1, c2, c3]: readonly [number, number, number, number],
): void {
  let [x0, x1, x2, x3] = [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
  let [key0, key1] = [k0 >>> 0, k1 >>> 0];
  for (let round = 0; round < rounds; round++) {
    const high0 = mulHigh(multipliers[0], x0);
    const high1 = mulHigh(multipliers[1], x2);
    const low0 = Math.imul(multipliers[0], x0) >>> 0;
    const low1 = Math.imul(multipliers[1], x2) >>> 0;
    [x0, x1, x2, x3] = [(high1 ^ x1 ^ key0) >>> 0, low1, (high0 ^ x3 ^ key1) >>> 0, low0];
    key0 = (key0 + keySteps[0]) >>> 0;
    key1 = (key1 + keySteps[1]) >>> 0;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}

/** The same in WGSL: `philox(counter: vec4u, key: vec2u) -> vec4u`. */
export const philoxWgsl = `fn mulHigh(a: vec2u, b: vec2u) -> vec2u {
  let half = vec2u(0xffffu);
  let word = vec2u(16u);
  let al = a & half;
  let ah = a >> word;
  let bl = b & half;
  let bh = b >> word;
  let middle = ah * bl + ((al * bl) >> word);
  let low = al * bh + (middle & half);
  return ah * bh + (middle >> word) + (low >> word);
}
fn philox(counter: vec4u, key: vec2u) -> vec4u {
  let multipliers = vec2u(${multipliers.map((m) => `${m}u`).join(', ')});
  var c = counter;
  var k = key;
  for (var round = 0u; round < ${rounds}u; round++) {
    let high = mulHigh(multipliers, c.xz);
    let low = multipliers * c.xz;
    c = vec4u(high.y ^ c.y ^ k.x, low.y, high.x ^ c.w ^ k.y, low.x);
    k += vec2u(${keySteps.map((s) => `${s}u`).join(', ')});
  }
  return c;
}`;

/** Elements that an item of a kernel with `philoxWasm` has: the words of four counters. */
export const drawnTogether = 16;

/**
 * The same in WebAssembly: the statements for each four of n elements, of which element i takes word i mod 4
 * of the counter (c0 + ⌊i/4⌋, c1, c2, c3). `at` is where the four begin, in bytes.
 */
export function philoxWasm(
  w: KernelBody,
  n: I32,
  key: readonly [I32, I32],
  [c0, c1, c2, c3]: readonly [Index, I32, I32, Index],
  statements: (at: I32, words: V128) => void,
): void {
  const keys = Array.from({ length: rounds }, (_, round) =>
    key.map((k, i) => w.let(i32x4.splat(i32.add(k, Math.imul(round, keySteps[i]) as Index)))),
  );
  const others = [c1, c2, c3].map((c) => w.let(i32x4.splat(c)));
  const [m0, m1] = multipliers.map((m) => i32x4.const(m));
  const odd = i64x2.splatConst(-(2n ** 32n));
  /** The high words of the products, those of lanes 0, 2, 1, 3. */
  const high = (x: V128, m: V128) =>
    v128.or(i64x2.shrU(i64x2.extmulLowI32x4U(x, m), 32), v128.and(i64x2.extmulHighI32x4U(x, m), odd));
  w.range(w.from, w.to, 1, (item) => {
    // A counter in each lane. Words 0 and 2 change the order of lanes every round, and 1 and 3 a round later.
    let [x0, x1, x2, x3]: V128[] = [
      w.let(i32x4.add(i32x4.splat(i32.add(i32.shl(item, 2), c0)), i32x4.const(0, 1, 2, 3))),
      ...others,
    ];
    for (const [k0, k1] of keys) {
      [x0, x1, x2, x3] = [
        v128.xor(high(x2, m1), v128.xor(x1, k0)),
        i32x4.mul(x2, m1),
        v128.xor(high(x0, m0), v128.xor(x3, k1)),
        i32x4.mul(x0, m0),
      ].map((x) => w.let(x));
    }
    const [y1, y3] = [x1, x3].map((x) => w.let(shuffle32(x, x, [0, 2, 1, 3])));
    // Through memory, for V8 would compute them anew in every branch that uses them.
    transpose4(w, [x0, y1, x2, y3]).forEach((words, k) => {
      w.store(w.scratch, words, 16 * k);
    });
    const start = w.let(i32.mul(item, drawnTogether));
    const count = w.let(i32.min(i32.const(drawnTogether), w.let(i32.sub(n, start))));
    w.range(0, count, 4, (j) =>
      statements(w.let(i32.shl(i32.add(start, j), 2)), w.let(v128.load(element(w.scratch, j)))),
    );
  });
}
