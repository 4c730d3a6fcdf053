import { type Body, f32x4, type I32, type Index, i32, shuffle32, type V128, v128 } from '../../wasm/index.ts';

/** Four complex numbers: their real and their imaginary parts. */
export interface Complex {
  readonly re: V128;
  readonly im: V128;
}

/** Computes both parts here, once, and names them. */
export const named = (w: Body, re: V128, im: V128) => ({ re: w.let(re), im: w.let(im) }) satisfies Complex;

/** x + y. */
export const plus = (w: Body, x: Complex, y: Complex): Complex =>
  named(w, f32x4.add(x.re, y.re), f32x4.add(x.im, y.im));
/** x − y. */
export const minus = (w: Body, x: Complex, y: Complex): Complex =>
  named(w, f32x4.sub(x.re, y.re), f32x4.sub(x.im, y.im));

/** x·y. */
export const product = (w: Body, x: Complex, y: Complex): Complex =>
  named(
    w,
    f32x4.sub(f32x4.mul(x.re, y.re), f32x4.mul(x.im, y.im)),
    f32x4.add(f32x4.mul(x.re, y.im), f32x4.mul(x.im, y.re)),
  );

/** The address of pair i of (re, im) pairs of f32. */
export const pairAt = (pairs: I32, i: Index): I32 => i32.add(pairs, i32.shl(i, 3));

/** How many complex numbers a kernel takes at a time: one where rows have fewer than four. */
export type Lanes = 4 | 1;
export const lanesFor = (n: number): Lanes => (n >= 4 ? 4 : 1);

/** Neighbours in memory, (re, im) pairs of f32, as complex numbers in lanes; the lanes past `lanes` mean nothing. */
export class ComplexLanes {
  readonly #w: Body;
  readonly #lanes: Lanes;

  constructor(w: Body, lanes: Lanes) {
    this.#w = w;
    this.#lanes = lanes;
  }

  load(address: I32): Complex {
    const w = this.#w;
    if (this.#lanes === 1) {
      const x = w.let(v128.load64Zero(address));
      return { re: x, im: w.let(shuffle32(x, x, [1, 1, 1, 1])) };
    }
    const at = w.let(address);
    const [low, high] = [w.let(v128.load(at)), w.let(v128.load(at, 16))];
    return named(w, shuffle32(low, high, [0, 2, 4, 6]), shuffle32(low, high, [1, 3, 5, 7]));
  }

  store(address: I32, { re, im }: Complex): void {
    const w = this.#w;
    const low = shuffle32(re, im, [0, 4, 1, 5]);
    const at = w.let(address);
    if (this.#lanes === 1) w.storeLane64(at, low, 0);
    else {
      w.store(at, low);
      w.store(at, shuffle32(re, im, [2, 6, 3, 7]), 16);
    }
  }

  /** Writes each lane to an address of its own. */
  scatter(address: (lane: number) => I32, { re, im }: Complex): void {
    const pairs = [shuffle32(re, im, [0, 4, 1, 5]), shuffle32(re, im, [2, 6, 3, 7])].map((x) =>
      this.#w.let(x),
    );
    for (let i = 0; i < this.#lanes; i++) this.#w.storeLane64(address(i), pairs[i >> 1], i % 2);
  }

  /** Lane 0 from `first`, and lane i from the i-th pair before `end`. */
  loadBackwards(first: I32, end: I32): Complex {
    if (this.#lanes === 1) return this.load(first);
    const w = this.#w;
    const low = w.let(v128.load(i32.sub(end, 24)));
    const high = w.let(v128.load64Lane(first, v128.load64Zero(i32.sub(end, 8)), 1));
    return named(w, shuffle32(low, high, [6, 4, 2, 0]), shuffle32(low, high, [7, 5, 3, 1]));
  }

  /** Lane 0 to `first`, and lane i to the i-th pair before `end`. */
  storeBackwards(first: I32, end: I32, { re, im }: Complex): void {
    const w = this.#w;
    const high = w.let(shuffle32(re, im, [1, 5, 0, 4]));
    w.storeLane64(first, high, 1);
    if (this.#lanes === 1) return;
    w.store(i32.sub(end, 24), shuffle32(re, im, [3, 7, 2, 6]));
    w.storeLane64(i32.sub(end, 8), high, 0);
  }
}
