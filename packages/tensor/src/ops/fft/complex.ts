import type { Backend } from '../../backend.ts';
import { keepByKey } from '../../keep-by-key.ts';
import { apply, keep, type Tensor, tensor } from '../../tensor.ts';
import { largestOdd, largestPower, rootOfUnity } from './butterfly.ts';
import { complexMultiplyOp } from './multiply.ts';
import { fftPassOp, passTable } from './pass.ts';

/** One op of a chain. */
export type Step = (x: Tensor) => Tensor;

/** Runs the steps one after the other and frees what is between them. Nothing must be recording. */
export function chain(x: Tensor, steps: readonly Step[]): Tensor {
  let result = x;
  for (const step of steps) {
    const next = step(result);
    if (result !== x && result !== next) result.dispose();
    result = next;
  }
  return result;
}

const tables = keepByKey<Backend, string, Tensor>();

/** A table [n, 2] of f64 (re, im) pairs, uploaded at its first use on a backend and kept while that lives. */
export function cachedTable(backend: Backend, key: string, make: () => Float64Array): Tensor {
  return tables(backend, key, () => {
    const numbers = make();
    return keep(tensor(backend, numbers, [numbers.length / 2, 2]));
  });
}

/**
 * Factors of n in the order of the passes, each with a butterfly; null where a prime factor has none. The
 * largest is first: the first pass has no twiddles, and all others columns in runs of that length or more.
 */
export function radicesOf(n: number): number[] | null {
  const radices: number[] = [];
  let rest = n;
  let twos = 0;
  for (; rest % 2 === 0; rest /= 2) twos++;
  for (let prime = 3; prime <= largestOdd; prime += 2) {
    for (; rest % prime === 0; rest /= prime) radices.push(prime);
  }
  if (rest !== 1) return null;
  // As few passes over the twos as there can be, all of about one size.
  for (let passes = Math.ceil(twos / Math.log2(largestPower)); passes > 0; passes--) {
    const share = Math.ceil(twos / passes);
    radices.push(2 ** share);
    twos -= share;
  }
  return radices.sort((a, b) => b - a);
}

/** The steps of the DFT Σ_j x_j·e^(−2πi·jk/n) along the middle axis. f32 [count, n, 2] → [count, n, 2]. */
export function complexSteps(n: number): Step[] {
  const radices = radicesOf(n);
  if (!radices) return bluesteinSteps(n);
  let before = 1;
  return radices.map((radix) => {
    const attrs = { radix, done: before };
    before *= radix;
    const key = `pass ${radix} ${attrs.done}`;
    return (x) => apply(fftPassOp, [x, cachedTable(x.backend, key, () => passTable(attrs))], attrs);
  });
}

/**
 * Any length as a convolution with b_j = e^(πi·j²/n), by transforms of a power of two:
 * since 2jk = j² + k² − (k−j)², X_k = b*_k·Σ_j (x_j·b*_j)·b_(k−j). Source: L. Bluestein, 1970.
 */
function bluesteinSteps(n: number): Step[] {
  const length = 2 ** Math.ceil(Math.log2(2 * n - 1));
  const chirp = (x: Tensor) => cachedTable(x.backend, `chirp ${n}`, () => chirpTable(n));
  const kernel = (x: Tensor) => cachedTable(x.backend, `chirp spectrum ${n}`, () => chirpSpectrum(n, length));
  return [
    (x) => apply(complexMultiplyOp, [x, chirp(x)], { length, reversed: false }),
    ...complexSteps(length),
    (x) => apply(complexMultiplyOp, [x, kernel(x)], { length, reversed: true }),
    ...complexSteps(length),
    (x) => apply(complexMultiplyOp, [x, chirp(x)], { length: n, reversed: false }),
  ];
}

/** b*_j for j < n. j² mod 2n is kept exact by adding up its differences. */
function chirpTable(n: number): Float64Array {
  const table = new Float64Array(2 * n);
  for (let j = 0, square = 0; j < n; j++) {
    table.set(rootOfUnity(square, 2 * n), 2 * j);
    square = (square + 2 * j + 1) % (2 * n);
  }
  return table;
}

/** The DFT of b wrapped around at `length`, divided by `length` for the inverse transform that follows. */
function chirpSpectrum(n: number, length: number): Float64Array {
  const chirp = chirpTable(n);
  let spectrum = new Float64Array(2 * length);
  for (let j = 0; j < n; j++) {
    const value = [chirp[2 * j] / length, -chirp[2 * j + 1] / length];
    spectrum.set(value, 2 * j);
    spectrum.set(value, 2 * ((length - j) % length));
  }
  let done = 1;
  const spec = { shape: [1, length, 2], dtype: 'f32' } as const;
  for (const radix of radicesOf(length)!) {
    const pass = fftPassOp.host([spec], [spec], { radix, done });
    if (typeof pass !== 'function') throw new Error('fftPass: its host kernel must be a loop');
    const out = new Float64Array(2 * length);
    pass([spectrum, passTable({ radix, done })], [out]);
    spectrum = out;
    done *= radix;
  }
  return spectrum;
}
