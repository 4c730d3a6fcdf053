import { ConfigError, DataError } from '@flex/base';
import type { Completion, Lesson, TokenIds } from '@flex/datasets';
import type { ChatTemplate, Tokenizer } from '@flex/llama';
import { encodeChat } from './encode-chat.ts';

/** The label of a token that is not scored. */
export const UNSCORED = -100;

/** What encoding needs of a tokenizer, and of chats their template. */
export interface TokenizerLike
  extends Pick<Tokenizer, 'encode' | 'decodeStream' | 'bosId' | 'eosId' | 'vocabSize'> {
  /** The model's own. Throws ConfigError where it has none. */
  chatTemplate(): ChatTemplate;
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
  /**
   * i32 [t], where it holds several documents that know nothing of each other: the place of the first token
   * of each token's document.
   */
  readonly starts?: Int32Array;
  /** Where the row stands that it was made of, as readers name it: `tasks.jsonl:12`; of each document, in order. */
  readonly rows: readonly string[];
}

/** An example that was made of a row. */
export interface EncodedExample extends Example {
  /** Tokens of the row's text, of which those over maxLength are cut off. */
  readonly wholeLength: number;
}

type Unplaced = Omit<EncodedExample, 'rows'>;

export interface EncodeOptions {
  /** The most tokens of an example made of text; what is over is cut off at the end. */
  readonly maxLength: number;
  /**
   * Whether the end-of-text token is appended to (and scored with) an example made of text. A chat ends as
   * its template ends it.
   */
  readonly appendEos: boolean;
  /**
   * `completion` scores the completion (and the end-of-text token), of a chat the assistant's turns; `all`
   * the prompt, or the other turns, too; `all-and-padding` also fills the example up to maxLength with
   * end-of-text tokens and scores these.
   */
  readonly lossOn: 'completion' | 'all' | 'all-and-padding';
}

/** Whether an example has a token to score. */
export function isScored({ labels }: Example): boolean {
  return labels.some((label) => label !== UNSCORED);
}

/**
 * The example that a row makes, which may have no token to score in what maxLength leaves of it.
 *
 * NUMERICS: prompt and completion are tokenized as one text, and as many tokens belong to the prompt as it
 * makes by itself. The text begins with the beginning-of-text token where the vocabulary has one.
 *
 * A chat is one text, as the model's template writes it (see encodeChat). One of token ids is used as it is,
 * uncut and without an end-of-text token. Throws DataError where its ids are not in the vocabulary, or its
 * labels are not as many or neither −100 nor in the vocabulary, and ConfigError where an end-of-text token is
 * wanted and the vocabulary has none.
 */
export function encodeExample(
  lesson: Lesson,
  tokenizer: TokenizerLike,
  options: EncodeOptions,
): EncodedExample {
  const example =
    'inputIds' in lesson
      ? fromIds(lesson, tokenizer.vocabSize)
      : fromTokens(
          'messages' in lesson ? encodeChat(lesson, tokenizer) : fromText(lesson, tokenizer, options),
          tokenizer,
          options,
        );
  example.labels[0] = UNSCORED;
  return { ...example, rows: [lesson.where] };
}

/** The tokens of a text, and whether each is of what is to be learnt, the completion. */
export interface MarkedTokens {
  readonly ids: readonly number[];
  readonly learnt: readonly boolean[];
}

function fromText(
  { prompt, completion }: Completion,
  tokenizer: TokenizerLike,
  { appendEos }: EncodeOptions,
): MarkedTokens {
  const begin = { bos: tokenizer.bosId !== null };
  const ids = [...tokenizer.encode(prompt + completion, begin)];
  if (appendEos) ids.push(endOf(tokenizer, 'append_eos: true'));
  const promptTokens = tokenizer.encode(prompt, begin).length;
  return { ids, learnt: ids.map((_, i) => i >= promptTokens) };
}

function fromTokens(
  { ids, learnt }: MarkedTokens,
  tokenizer: TokenizerLike,
  { maxLength, lossOn }: EncodeOptions,
): Unplaced {
  const input_ids = Int32Array.from(ids.slice(0, maxLength));
  const labels = input_ids.map((id, i) => (lossOn === 'completion' && !learnt[i] ? UNSCORED : id));
  const wholeLength = ids.length;
  if (lossOn !== 'all-and-padding') return { input_ids, labels, wholeLength };
  const filled = new Int32Array(maxLength).fill(endOf(tokenizer, 'loss_on: all-and-padding'));
  filled.set(input_ids);
  return { input_ids: filled, labels: filled.slice(), wholeLength };
}

function endOf({ eosId }: TokenizerLike, wanted: string): number {
  if (eosId === null) throw new ConfigError(`${wanted} needs an end-of-text token; this vocabulary has none`);
  return eosId;
}

function fromIds({ where, inputIds, labels }: TokenIds, vocabSize: number): Unplaced {
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
  return {
    input_ids: Int32Array.from(inputIds),
    labels: Int32Array.from(labels ?? inputIds),
    wholeLength: inputIds.length,
  };
}
