import { ConfigError, DataError } from '@flex/base';
import type { ModelConfig } from './config.ts';
import type { CausalLM } from './model.ts';

/**
 * Throws ConfigError for a number of new tokens below `least`, and DataError for an empty prompt or an id
 * outside the vocabulary.
 */
export function checkPrompt(
  model: CausalLM,
  prompt: readonly number[],
  maxNewTokens: number,
  { least = 1 }: { readonly least?: number } = {},
): void {
  const { vocabSize } = model.config;
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens >= least)) {
    throw new ConfigError(`max-new-tokens must be a whole number of at least ${least}, got ${maxNewTokens}`);
  }
  if (prompt.length === 0) throw new DataError('generate: the prompt has no token; it needs at least one');
  const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong !== undefined)
    throw new DataError(`generate: ${wrong} is not in the vocabulary of ${vocabSize} tokens`);
}

/**
 * What is to be told of a text of so many tokens where the model was not made for one that long; null where
 * it was. Such a text is computed all the same, as in transformers.
 */
export function beyondContext({ maxPositions }: ModelConfig, tokens: number): string | null {
  if (tokens <= maxPositions) return null;
  return `${tokens} tokens exceed the model's context of ${maxPositions}; its words may be worthless`;
}
