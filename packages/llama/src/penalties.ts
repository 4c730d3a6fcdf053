import { ConfigError } from '@flex/base';

/** What speaks for and against tokens, beside the model. */
export interface Penalties {
  /** Added to the logits of these tokens. */
  readonly logitBias?: ReadonlyMap<number, number>;
  /**
   * Of each token that the prompt or the text has: its logit is divided by this where it is positive, and
   * multiplied where it is negative (Keskar et al. 2019, arXiv:1909.05858). 1: none.
   */
  readonly repetitionPenalty?: number;
  /** Taken off the logit of a token for each time that the new text has it. */
  readonly frequencyPenalty?: number;
  /** Taken off the logits of tokens that the new text has. */
  readonly presencePenalty?: number;
}

/** Throws ConfigError for a penalty that is out of range, or a bias of a token that there is not. */
export function checkPenalties(penalties: Penalties, vocabSize: number): void {
  const {
    logitBias = new Map(),
    repetitionPenalty = 1,
    frequencyPenalty = 0,
    presencePenalty = 0,
  } = penalties;
  if (!(repetitionPenalty > 0 && Number.isFinite(repetitionPenalty)))
    throw new ConfigError(`repetition-penalty must be a number above 0, got ${repetitionPenalty}`);
  if (!Number.isFinite(frequencyPenalty))
    throw new ConfigError(`frequency-penalty must be a number, got ${frequencyPenalty}`);
  if (!Number.isFinite(presencePenalty))
    throw new ConfigError(`presence-penalty must be a number, got ${presencePenalty}`);
  for (const [id, bias] of logitBias) {
    if (!(Number.isInteger(id) && id >= 0 && id < vocabSize))
      throw new ConfigError(`logit-bias: ${id} is not in the vocabulary of ${vocabSize} tokens`);
    if (!Number.isFinite(bias))
      throw new ConfigError(`logit-bias of token ${id} must be a number, got ${bias}`);
  }
}

/**
 * Logits (or log-probabilities) of the token after `prompt` and `ids`, with the bias, then the penalty of
 * repetition, both as transformers' processors have them and in their order, then those of frequency and
 * presence, as OpenAI's API defines them. f64 [v]; the numbers themselves where there is no penalty. Throws
 * ConfigError for a score that is not finite.
 */
export function penalized<V extends Float32Array | Float64Array>(
  scores: V,
  prompt: readonly number[],
  ids: readonly number[],
  { logitBias, repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 }: Penalties,
): V | Float64Array {
  if (!logitBias?.size && repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0)
    return scores;
  const result = Float64Array.from(scores);
  for (const [id, bias] of logitBias ?? []) result[id] += bias;
  if (repetitionPenalty !== 1) {
    for (const id of new Set([...prompt, ...ids]))
      result[id] = result[id] < 0 ? result[id] * repetitionPenalty : result[id] / repetitionPenalty;
  }
  for (const id of ids) result[id] -= frequencyPenalty;
  for (const id of new Set(ids)) result[id] -= presencePenalty;
  const wrong = result.findIndex((score) => !Number.isFinite(score));
  if (wrong < 0) return result;
  throw new ConfigError(
    `the bias and the penalties are too large: the score of token ${wrong} is ${result[wrong]}`,
  );
}
