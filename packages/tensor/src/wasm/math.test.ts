import { expect, test } from 'vitest';
import { KernelBody } from '../wasm-kernel.ts';
import type { Body } from './body.ts';
import { Instance, Memory, Module } from './engine.ts';
import * as math from './math.ts';
import { type V128, v128 } from './values.ts';

type Function2 = (w: Body, x: V128, y: V128) => V128;

const memory = new Memory({ initial: 64, maximum: 65_536, shared: true });
const most = 2 ** 18;
const [xs, ys, out] = [1, 2, 3].map((k) => new Float32Array(memory.buffer, 4 * most * k, most));
const xBits = new Uint32Array(memory.buffer, xs.byteOffset, most);
const yBits = new Uint32Array(memory.buffer, ys.byteOffset, most);

/** Runs a function on the first n of `xs` and `ys`. */
function runner(of: Function2): (n: number) => void {
  const w = new KernelBody();
  w.range(w.from, w.to, 16, (i) => {
    const [x, y] = [xs, ys].map(({ byteOffset }) => v128.load(i, byteOffset));
    w.store(i, of(w, x, y), out.byteOffset);
  });
  const { run } = new Instance(new Module(w.module()), { kernel: { memory } }).exports;
  return (n) => run(0, 4 * n, 0, 0);
}

/** How many steps of f32 at the wanted number lie between the two, ∞ being the number behind the largest. */
function ulps(got: number, real: number): number {
  const want = Math.fround(real);
  if (Object.is(got, want)) return 0;
  if (Number.isNaN(got) || Number.isNaN(want) || (got === 0 && want === 0)) return Infinity;
  const [a, b] = [got, want].map((x) => Math.max(-(2 ** 128), Math.min(2 ** 128, x)));
  return Math.abs(a - b) / 2 ** (Math.max(-126, Math.min(127, Math.floor(Math.log2(Math.abs(b))))) - 23);
}

function worst(n: number, real: (x: number, y: number) => number): { ulps: number; at: string } {
  let found = { ulps: 0, at: '' };
  for (let i = 0; i < n; i++) {
    const off = ulps(out[i], real(xs[i], ys[i]));
    if (off > found.ulps) found = { ulps: off, at: `${xs[i]}, ${ys[i]}: ${out[i]}` };
  }
  return found;
}

/** The same bits at every run, from all 2³². */
function bitsFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}

/** Mantissas 0, 1, the largest and 253 more for each exponent and sign, subnormal ones, ±∞ and NaN too. */
function fillWithAll(bits: Uint32Array): number {
  const next = bitsFrom(7);
  const mantissa = (i: number) => [0, 1, 0x7fffff][i] ?? next() & 0x7fffff;
  for (let i = 0; i < 512 * 256; i++) bits[i] = ((i >> 8) << 23) | mantissa(i & 255);
  for (let i = 512 * 256; i < most; i++) bits[i] = next();
  return most;
}

const sigmoid = (x: number) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)));

test.for([
  ['exp', math.exp, Math.exp, 1],
  ['log', math.log, Math.log, 1],
  ['tanh', math.tanh, Math.tanh, 1],
  ['sigmoid', math.sigmoid, sigmoid, 2],
] as const)('%s is within 2 ulp at every exponent, signs of zero and NaN included', ([, of, real, bound]) => {
  const n = fillWithAll(xBits);
  runner(of)(n);
  const found = worst(n, real);
  expect(found.ulps, found.at).toBeLessThanOrEqual(bound);
});

test('exp, tanh and sigmoid are as exact where they change', () => {
  const next = bitsFrom(11);
  for (let i = 0; i < most; i++) xs[i] = (next() / 2 ** 32 - 0.5) * 210;
  for (const [of, real] of [
    [math.exp, Math.exp],
    [math.tanh, Math.tanh],
    [math.sigmoid, sigmoid],
  ] as const) {
    runner(of)(most);
    const found = worst(most, real);
    expect(found.ulps, found.at).toBeLessThanOrEqual(2);
  }
});

test('log and exp of known numbers', () => {
  xs.set([1, 0, -0, -1, Infinity, -Infinity, NaN, 1e-45]);
  runner(math.log)(8);
  const least = Math.fround(-149 * Math.LN2);
  expect([...out.subarray(0, 8)]).toEqual([0, -Infinity, -Infinity, NaN, Infinity, NaN, NaN, least]);
  xs.set([0, -0, 89, -104, Infinity, -Infinity, NaN, -103]);
  runner(math.exp)(8);
  expect([...out.subarray(0, 8)]).toEqual([1, 1, Infinity, 0, Infinity, 0, NaN, 2 ** -149]);
});

test('pow has every special case of Math.pow', () => {
  const whole = [0, 1, 2, 3, 127, 149, 2 ** 24, 2 ** 24 - 1, 2 ** 31];
  const special = [...whole, 0.5, 2.5, 1 / 3, 1 + 2 ** -23, 1e-45, 1e38, Infinity, NaN].flatMap((x) => [
    x,
    -x,
  ]);
  const pairs = special.flatMap((x) => special.map((y) => [x, y]));
  pairs.forEach(([x, y], i) => {
    [xs[i], ys[i]] = [x, y];
  });
  runner(math.pow)(pairs.length + 3);
  const found = worst(pairs.length, Math.pow);
  expect(found.ulps, found.at).toBeLessThanOrEqual(1);
});

test('pow is within 1 ulp wherever its result is in range', () => {
  const next = bitsFrom(3);
  const fraction = () => next() / 2 ** 32;
  for (let i = 0; i < most; i++) {
    xBits[i] = next();
    yBits[i] = next();
    if (i % 4 === 1) ys[i] = Math.round(80 * fraction() - 40);
    if (i % 4 === 2) xs[i] = 1 + (fraction() - 0.5) * 2 ** (-20 * fraction());
    if (i % 4 > 1) ys[i] = (200 * fraction() - 100) / Math.log(Math.abs(xs[i]));
  }
  runner(math.pow)(most);
  const found = worst(most, Math.pow);
  expect(found.ulps, found.at).toBeLessThanOrEqual(1);
});
