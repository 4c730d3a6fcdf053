import { ConfigError } from '@flex/base';

export interface SampleOptions {
  /** 0: the likeliest token. */
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  /** A uniform number in [0, 1). */
  readonly draw: number;
}

/**
 * One token from logits: the first of the largest at temperature 0; else the inverse of the cumulative
 * distribution of softmax(logits / temperature) at `draw`, over the topK likeliest and then over the fewest
 * of those whose probabilities reach topP. f64 throughout. Throws ConfigError for options out of range.
 */
export function sampleToken(
  logits: ArrayLike<number>,
  { temperature, topK, topP, draw }: SampleOptions,
): number {
  if (!(temperature >= 0)) throw new ConfigError(`temperature must be at least 0, got ${temperature}`);
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    throw new ConfigError(`top-k must be a whole number of at least 1, got ${topK}`);
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1))
    throw new ConfigError(`top-p must be in (0, 1], got ${topP}`);
  if (temperature === 0) return argmax(logits);
  const order = Array.from({ length: logits.length }, (_, i) => i).sort(
    (a, b) => logits[b] - logits[a] || a - b,
  );
  const likeliest = order.slice(0, topK ?? order.length);
  const weights = likeliest.map((id) => Math.exp((logits[id] - logits[likeliest[0]]) / temperature));
  const kept = nucleusSize(weights, topP ?? 1);
  let left = draw * weights.slice(0, kept).reduce((a, b) => a + b, 0);
  for (let i = 0; i < kept; i++) {
    left -= weights[i];
    if (left < 0) return likeliest[i];
  }
  return likeliest[kept - 1];
}

/** How many of the leading weights reach the share p of their sum. */
function nucleusSize(weights: readonly number[], p: number): number {
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
