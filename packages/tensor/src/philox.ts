/**
 * Philox4x32-10, a generator without state: four random words from a counter of four words and a key of two.
 * Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". The same bits on every backend.
 */

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
