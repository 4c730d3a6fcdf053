import { ConfigError, DataError } from '@flex/base';
import type { Completion, TokenIds } from '@flex/datasets';

/** The label of a token that is not scored. */
export const UNSCORED = -100;

/** What encoding needs of a tokenizer. */
export interface TokenizerLike {
  /** The ids of a text, after the beginning-of-text token if `bos`, or else if the tokenizer's own habit is so. */
  encode(text: string, options?: { readonly bos?: boolean }): readonly number[];
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly vocabSize: number;
}

/**
 * One example: token ids, and of each its label: itself where it is scored as a prediction from the tokens
 * before it, else −100. (Hugging Face's alignment: the model shifts.) The first is never scored.
 */
export interface Example {
  /** i32 [t] */
  readonly input_ids: Int32Array;
  /** i32 [t] */
  readonly labels: Int32Array;
}

export interface EncodeOptions {
  /** The most tokens of an example made of text; what is over is cut off at the end. */
  readonly maxLength: number;
  /** Whether the end-of-text token is appended to (and scored with) an example made of text. */
  readonly appendEos: boolean;
  /**
   * `completion` scores the completion (and the end-of-text token), `all` the prompt too; `all-and-padding`
   * also fills the example up to maxLength with end-of-text tokens and scores these.
   */
  readonly lossOn: 'completion' | 'all' | 'all-and-padding';
}

/**
 * The example that a completion makes; null if it has no token to score in what maxLength leaves of it.
 *
 * NUMERICS: prompt and completion are tokenized as one text, and as many tokens belong to the prompt as it
 * makes by itself. The text begins with the beginning-of-text token where the vocabulary has one.
 *
 * One of token ids is used as it is, uncut and without an end-of-text token. Throws DataError where its
 * ids are not in the vocabulary, or its labels are not as many or neither −100 nor in the vocabulary, and
 * ConfigError where an end-of-text token is wanted and the vocabulary has none.
 */
export function encodeExample(
  completion: Completion | TokenIds,
  tokenizer: TokenizerLike,
  options: EncodeOptions,
): Example | null {
  const example =
    'inputIds' in completion
      ? fromIds(completion, tokenizer.vocabSize)
      : fromText(completion, tokenizer, options);
  example.labels[0] = UNSCORED;
  return example.labels.some((label) => label !== UNSCORED) ? example : null;
}

function fromText(
  { prompt, completion }: Completion,
  tokenizer: TokenizerLike,
  options: EncodeOptions,
): Example {
  const { maxLength, appendEos, lossOn } = options;
  const begin = { bos: tokenizer.bosId !== null };
  const ids = [...tokenizer.encode(prompt + completion, begin)];
  if (appendEos) ids.push(endOf(tokenizer, 'append_eos: true'));
  if (lossOn === 'all-and-padding') {
    const end = endOf(tokenizer, 'loss_on: all-and-padding');
    while (ids.length < maxLength) ids.push(end);
  }
  const input_ids = Int32Array.from(ids.slice(0, maxLength));
  const labels = input_ids.slice();
  if (lossOn === 'completion') labels.fill(UNSCORED, 0, tokenizer.encode(prompt, begin).length);
  return { input_ids, labels };
}

function endOf({ eosId }: TokenizerLike, wanted: string): number {
  if (eosId === null) throw new ConfigError(`${wanted} needs an end-of-text token; this vocabulary has none`);
  return eosId;
}

function fromIds({ where, inputIds, labels }: TokenIds, vocabSize: number): Example {
  const isToken = (id: number) => id >= 0 && id < vocabSize;
  const wrongId = inputIds.find((id) => !isToken(id));
  if (wrongId !== undefined) {
    throw new DataError(`${where}: input_ids must be in 0 to ${vocabSize - 1}, got ${wrongId}`);
  }
  if (inputIds.length === 0) throw new DataError(`${where}: input_ids must have an id, got an empty list`);
  if (labels && labels.length !== inputIds.length) {
    const [needed, came] = [inputIds.length, labels.length];
    throw new DataError(`${where}: labels must be as many as input_ids, ${needed}, got ${came}`);
  }
  const wrongLabel = labels?.find((label) => label !== UNSCORED && !isToken(label));
  if (wrongLabel !== undefined) {
    throw new DataError(`${where}: labels must be -100 or in 0 to ${vocabSize - 1}, got ${wrongLabel}`);
  }
  return { input_ids: Int32Array.from(inputIds), labels: Int32Array.from(labels ?? inputIds) };
}
