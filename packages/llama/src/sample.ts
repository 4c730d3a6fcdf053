import { ConfigError } from '@flex/base';

/** Which tokens are drawn, and how likely. */
export interface SampleOptions {
  /** 0: the likeliest token. Above 0: drawn from softmax(logits / temperature). */
  readonly temperature: number;
  /** Only the k likeliest tokens, and what is as likely as the last of them. */
  readonly topK?: number;
  /** Of these only the fewest likeliest whose probabilities reach p. */
  readonly topP?: number;
  /** Of these only such as are at least p times as likely as the likeliest. */
  readonly minP?: number;
}

/** Throws ConfigError for options out of range. */
export function checkSampling({ temperature, topK, topP, minP }: SampleOptions): void {
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw new ConfigError(`temperature must be a number of at least 0, got ${temperature}`);
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1))
    throw new ConfigError(`top-k must be a whole number of at least 1, got ${topK}`);
  if (topP !== undefined && !(topP > 0 && topP <= 1))
    throw new ConfigError(`top-p must be in (0, 1], got ${topP}`);
  if (minP !== undefined && !(minP >= 0 && minP <= 1))
    throw new ConfigError(`min-p must be in [0, 1], got ${minP}`);
}

/**
 * One token from logits: the first of the largest at temperature 0; else the inverse at `draw`, a uniform
 * number in [0, 1), of the cumulative distribution of softmax(logits / temperature) over the tokens that
 * top-k, top-p and min-p leave, in this order, the likeliest first. As transformers defines them; f64
 * throughout.
 */
export function sampleToken(logits: ArrayLike<number>, options: SampleOptions, draw: number): number {
  if (options.temperature === 0) return argmax(logits);
  const { sorted, weights } = likeliest(logits, options, 1);
  let left = draw * weights.reduce((a, b) => a + b, 0);
  let at = 0;
  for (; at < weights.length - 1; at++) {
    left -= weights[at];
    if (left < 0) break;
  }
  return nthIndexOf(logits, sorted[at], at - sorted.indexOf(sorted[at]));
}

/**
 * scores / temperature, and −∞ for tokens that top-k, top-p and min-p leave out, each of which leaves `atLeast`
 * tokens. At the limit, equals stay together.
 */
export function warpedScores(scores: Float64Array, options: SampleOptions, atLeast: number): Float64Array {
  const { sorted, weights } = likeliest(scores, options, atLeast);
  const least = sorted[weights.length - 1];
  return scores.map((score) => (score >= least ? score / options.temperature : Number.NEGATIVE_INFINITY));
}

/**
 * All logits in falling order, and of those that may be drawn e^((logit − largest) / temperature), which are
 * the first.
 */
function likeliest(
  logits: ArrayLike<number>,
  { temperature, topK = logits.length, topP = 1, minP = 0 }: SampleOptions,
  atLeast: number,
): { sorted: Float64Array; weights: Float64Array } {
  // Numbers are sorted a good deal faster than their places; of equal ones the first id counts first.
  const sorted = Float64Array.from(logits).sort().reverse();
  let end = Math.min(Math.max(topK, atLeast), sorted.length);
  while (sorted[end] === sorted[end - 1]) end++;
  const weights = sorted.subarray(0, end).map((logit) => Math.exp((logit - sorted[0]) / temperature));
  const nucleus = Math.max(nucleusSize(weights, topP), atLeast);
  const tooSmall = weights.findIndex((weight) => weight < minP);
  const kept = tooSmall < 0 ? nucleus : Math.min(nucleus, Math.max(tooSmall, atLeast));
  return { sorted, weights: weights.subarray(0, kept) };
}

/** The index of a number in values, after n others that equal it. */
function nthIndexOf(values: ArrayLike<number>, wanted: number, n: number): number {
  let left = n;
  for (let i = 0; ; i++) if (values[i] === wanted && left-- === 0) return i;
}

/** How many of the leading weights reach the share p of their sum. */
function nucleusSize(weights: Float64Array, p: number): number {
  if (p === 1) return weights.length;
  const total = weights.reduce((a, b) => a + b, 0);
  let sum = 0;
  for (let i = 0; i < weights.length; i++) {
    sum += weights[i];
    if (sum >= p * total) return i + 1;
  }
  return weights.length;
}

/** The first index of the largest number. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
