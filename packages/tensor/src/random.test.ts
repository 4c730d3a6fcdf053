import { describe, expect, test } from 'vitest';
import { normal, philox, uniform } from './index.ts';

const n = 100_000;
const key = [11, 12] as const;

/** Means of x, x², x³ and x⁴. */
const moments = (xs: Float32Array) =>
  [1, 2, 3, 4].map((k) => xs.reduce((sum, x) => sum + x ** k, 0) / xs.length);

/** Mean of the products of each element and the one `lag` places after it. */
const correlation = (xs: Float32Array, lag: number) =>
  xs.subarray(lag).reduce((sum, x, i) => sum + x * xs[i], 0) / (xs.length - lag);

describe('random arrays', () => {
  test('uniform has the moments of the uniform distribution and stays in [0, 1)', () => {
    const xs = uniform(n, { key });
    for (const [i, m] of moments(xs).entries()) expect(Math.abs(m - 1 / (i + 2))).toBeLessThan(0.005);
    expect(xs.every((x) => x >= 0 && x < 1)).toBe(true);
  });

  test('normal has the moments of the normal distribution, and its neighbours are independent', () => {
    const xs = normal(n, { key });
    // Standard deviations of the means: 1, √2, √15 and √96, over √n.
    const spread = [1, 1.5, 4, 10].map((s) => (5 * s) / Math.sqrt(n));
    for (const [i, m] of moments(xs).entries()) expect(Math.abs(m - [0, 1, 0, 3][i])).toBeLessThan(spread[i]);
    for (const lag of [1, 2, 3, 4]) expect(Math.abs(correlation(xs, lag))).toBeLessThan(5 / Math.sqrt(n));
  });

  test('uniform is the high 24 bits of Philox, block after block', () => {
    const words = new Uint32Array(4);
    philox(words, key, [1, 5, 6, 1]);
    const want = Array.from(words, (word) => (word >>> 8) / 2 ** 24);
    expect(Array.from(uniform(8, { key, counter: [5, 6] }).subarray(4))).toEqual(want);
  });

  test('a shorter array is the start of a longer one', () => {
    expect(normal(7, { key })).toEqual(normal(20, { key }).subarray(0, 7));
  });

  test('another key or counter gives other numbers', () => {
    const first = normal(4, { key })[0];
    expect(normal(4, { key: [11, 13] })[0]).not.toBe(first);
    expect(normal(4, { key, counter: [0, 1] })[0]).not.toBe(first);
    expect(normal(4, { key, counter: [0, 0] })[0]).toBe(first);
  });
});
