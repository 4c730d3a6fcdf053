import { topIndices } from './top-indices.ts';

/**
 * A token and ln p of it, in nats, by softmax of the model's own logits: before any temperature or penalty.
 */
export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
}

/** A token of a text. */
export interface ScoredToken extends TokenLogprob {
  /** The likeliest tokens in its place, the best first; it may be among them. */
  readonly alternatives: readonly TokenLogprob[];
}

/** ln softmax(logits), in f64. */
export function logSoftmax(logits: Float32Array): Float64Array {
  let top = Number.NEGATIVE_INFINITY;
  for (const x of logits) top = Math.max(top, x);
  let total = 0;
  for (const x of logits) total += Math.exp(x - top);
  const shift = top + Math.log(total);
  return Float64Array.from(logits, (x) => x - shift);
}

/** A token by the log-probabilities in its place, with `count` alternatives. */
export function scoredToken(logprobs: Float64Array, id: number, count: number): ScoredToken {
  const scored = (id: number): TokenLogprob => ({ id, logprob: logprobs[id] });
  return { ...scored(id), alternatives: topIndices(logprobs, count).map(scored) };
}
