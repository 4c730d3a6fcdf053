import { uniform } from '@flex/tensor';
import { finiteLogits } from './finite-logits.ts';
import { sampleToken } from './sample.ts';
import { StopTextFilter } from './stop-text-filter.ts';
import type { Tokenizer } from './tokenizer.ts';

/** The second word of the random key: what is drawn. */
const sampleStream = 0x5a3e;

/** How a text is continued token by token. */
export interface ContinuationOptions {
  readonly maxNewTokens: number;
  /** 0: greedy. Above 0: sampled from softmax(logits / temperature). */
  readonly temperature?: number;
  /** Sample among the k likeliest tokens only. */
  readonly topK?: number;
  /** Sample among the fewest likeliest tokens whose probabilities reach p. */
  readonly topP?: number;
  readonly seed?: number;
  /** Texts that end the completion, and are cut from it; they need the tokenizer. */
  readonly stop?: readonly string[];
  readonly tokenizer?: Tokenizer;
}

export interface Completion {
  /** The new token ids alone; an end-of-text id is the last of them. */
  readonly ids: readonly number[];
  /** Their text, cut before a stop text; empty without a tokenizer. */
  readonly text: string;
  readonly finish: 'eos' | 'stop' | 'length';
}

/** A text that grows until a token, a stop text or its length ends it. */
export interface Continuation {
  /**
   * Chooses the next token. Gives it where the text goes on after it, null where it has ended. Throws Error
   * for a logit that is not finite.
   */
  next(logits: Float32Array): number | null;
  /** To be called once it has ended. */
  completion(): Completion;
}

/** A text without tokens yet. `onText` is told of each piece as it becomes certain. */
export function newContinuation(
  eosIds: readonly number[],
  { maxNewTokens, temperature = 0, topK, topP, seed = 0, stop = [], tokenizer }: ContinuationOptions,
  onText?: (piece: string) => void,
): Continuation {
  const ids: number[] = [];
  const filter = new StopTextFilter(stop);
  const stream = tokenizer?.decodeStream({ continuation: true });
  const tell = (piece: string) => {
    if (piece) onText?.(piece);
  };
  return {
    next(logits) {
      finiteLogits(logits, `at new token ${ids.length + 1}`);
      const draw = uniform(1, { key: [seed, sampleStream], counter: [0, ids.length] })[0];
      const id = sampleToken(logits, { temperature, topK, topP, draw });
      ids.push(id);
      if (eosIds.includes(id)) return null;
      tell(filter.push(stream?.push(id) ?? ''));
      return filter.stopped || ids.length === maxNewTokens ? null : id;
    },
    completion() {
      tell(filter.push(stream?.end() ?? ''));
      tell(filter.rest());
      return { ids, text: filter.text, finish: finishOf(ids, eosIds, filter.stopped) };
    },
  };
}

/** The completion that these ids are, all of them there at once. */
export function completionOf(
  ids: readonly number[],
  eosIds: readonly number[],
  { tokenizer, stop = [] }: ContinuationOptions,
): Completion {
  const filter = new StopTextFilter(stop);
  filter.push(tokenizer?.decode(ids, { continuation: true }) ?? '');
  filter.rest();
  return { ids, text: filter.text, finish: finishOf(ids, eosIds, filter.stopped) };
}

function finishOf(ids: readonly number[], eosIds: readonly number[], stopped: boolean): Completion['finish'] {
  if (stopped) return 'stop';
  return eosIds.includes(ids.at(-1) ?? -1) ? 'eos' : 'length';
}
