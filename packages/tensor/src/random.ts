import { philox } from './philox.ts';

// The last counter word keeps these streams apart from each other and from dropout's, which has 0 there.
const uniformStream = 1;
const normalStream = 2;
export const gumbelStream = 3;

/** Which random numbers: the same options always give the same ones. */
export interface RandomOptions {
  /** Two words u32, the seed of a run. */
  readonly key: readonly [number, number];
  /** Two words u32 that differ from array to array. Left out: zeros. */
  readonly counter?: readonly [number, number];
}

/**
 * n numbers on the host, uniform in [0, 1) and multiples of 2⁻²⁴: f32 [n].
 * Philox4x32-10, the same on every machine.
 */
export function uniform(n: number, options: RandomOptions): Float32Array {
  return blocks(n, options, uniformStream, (word) => (word >>> 8) * 2 ** -24);
}

/** n numbers on the host, normal with mean 0 and variance 1: f32 [n]. Philox4x32-10, Box–Muller in f64. */
export function normal(n: number, options: RandomOptions): Float32Array {
  return blocks(n, options, normalStream, (_, i, words) => {
    // Neighbours share a radius and an angle: one is the cosine, the other the sine.
    const radius = Math.sqrt(-2 * Math.log((words[i & 2] + 0.5) * 2 ** -32));
    const angle = 2 * Math.PI * words[i | 1] * 2 ** -32;
    return radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  });
}

/** Element i from the words of block ⌊i/4⌋. */
function blocks(
  n: number,
  { key, counter = [0, 0] }: RandomOptions,
  stream: number,
  value: (word: number, i: number, words: Uint32Array) => number,
): Float32Array {
  const words = new Uint32Array(4);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    if (i % 4 === 0) philox(words, key, [i / 4, ...counter, stream]);
    out[i] = value(words[i % 4], i % 4, words);
  }
  return out;
}
