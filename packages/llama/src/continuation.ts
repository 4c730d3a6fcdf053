import { ConfigError } from '@flex/base';
import { uniform } from '@flex/tensor';
import { finiteLogits } from './finite-logits.ts';
import { logSoftmax, type ScoredToken, scoredToken } from './log-probabilities.ts';
import { checkPenalties, type Penalties, penalized } from './penalties.ts';
import { checkSampling, type SampleOptions, sampleToken } from './sample.ts';
import { StopTextFilter } from './stop-text-filter.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';

/** The second word of the random key: what is drawn. */
export const sampleStream = 0x5a3e;

/** How a text is continued token by token. */
export interface ContinuationOptions extends Partial<SampleOptions>, Penalties {
  readonly maxNewTokens: number;
  readonly seed?: number;
  /** Ids that end the text beside the model's own, such as those of infilling. */
  readonly endIds?: readonly number[];
  /** Texts that end the completion, and are cut from it; they need the tokenizer. */
  readonly stop?: readonly string[];
  readonly tokenizer?: Tokenizer;
  /** Gives log-probabilities, each with so many alternatives; left out: none. */
  readonly logprobs?: number;
}

export interface Completion {
  /** The new token ids alone; an end-of-text id is the last of them. */
  readonly ids: readonly number[];
  /** Their text, cut before a stop text; empty without a tokenizer. */
  readonly text: string;
  readonly finish: 'eos' | 'stop' | 'length';
  /** Of each of the ids, where they were asked for. */
  readonly logprobs?: readonly ScoredToken[];
  /** Of each token of the prompt, where they were asked for; nothing stands before the first. */
  readonly promptLogprobs?: readonly (ScoredToken | null)[];
}

/** What is told of a text while it grows. */
export interface ContinuationEvents {
  /** Each token as it is chosen, before the text that it makes certain. */
  readonly onToken?: (id: number, scored?: ScoredToken) => void;
  /** Each piece of text as it becomes certain. */
  readonly onText?: (piece: string) => void;
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

/** Throws ConfigError for options out of range. */
export function checkContinuation(options: ContinuationOptions, vocabSize: number): void {
  checkSampling({ temperature: 0, ...options });
  checkPenalties(options, vocabSize);
  const { logprobs, stop = [], tokenizer } = options;
  checkLogprobs('logprobs', logprobs);
  if (stop.length > 0 && !tokenizer) throw new ConfigError('stop texts need the tokenizer');
}

/** Throws ConfigError for what is no number of alternatives. */
export function checkLogprobs(name: string, count = 0): void {
  if (!(Number.isInteger(count) && count >= 0))
    throw new ConfigError(`${name} must be a whole number of at least 0, got ${count}`);
}

/** A text without tokens yet after a prompt. */
export function newContinuation(
  modelEnds: readonly number[],
  prompt: readonly number[],
  options: ContinuationOptions,
  { onToken, onText }: ContinuationEvents = {},
): Continuation {
  const { maxNewTokens, temperature = 0, seed = 0, stop = [], tokenizer, logprobs: count } = options;
  const eosIds = [...modelEnds, ...(options.endIds ?? [])];
  const ids: number[] = [];
  const scored: ScoredToken[] = [];
  const filter = new StopTextFilter(stop);
  const stream = tokenizer?.decodeStream({ continuation: true });
  const tell = (piece: string) => {
    if (piece) onText?.(piece);
  };
  return {
    next(logits) {
      finiteLogits(logits, `at new token ${ids.length + 1}`);
      const draw = uniform(1, { key: [seed, sampleStream], counter: [0, ids.length] })[0];
      const scores = penalized(logits, prompt, ids, options);
      const id = sampleToken(scores, { ...options, temperature }, draw);
      ids.push(id);
      if (count !== undefined) scored.push(scoredToken(logSoftmax(logits), id, count));
      onToken?.(id, scored.at(-1));
      if (eosIds.includes(id)) return null;
      tell(filter.push(stream?.push(id) ?? ''));
      return filter.stopped || ids.length === maxNewTokens ? null : id;
    },
    completion() {
      tell(filter.push(stream?.end() ?? ''));
      tell(filter.rest());
      const finish = finishOf(ids, eosIds, filter.stopped);
      return { ids, text: filter.text, finish, ...(count !== undefined && { logprobs: scored }) };
    },
  };
}

/** The completion that these ids are, all of them there at once; `eosIds` are all that end a text. */
export function completionOf(
  ids: readonly number[],
  eosIds: readonly number[],
  { tokenizer, stop = [] }: ContinuationOptions,
): Completion {
  const filter = new StopTextFilter(stop);
  const body = eosIds.includes(ids.at(-1)!) ? ids.slice(0, -1) : ids;
  filter.push(tokenizer?.decode(body, { continuation: true }) ?? '');
  filter.rest();
  return { ids, text: filter.text, finish: finishOf(ids, eosIds, filter.stopped) };
}

function finishOf(ids: readonly number[], eosIds: readonly number[], stopped: boolean): Completion['finish'] {
  if (stopped) return 'stop';
  return eosIds.includes(ids.at(-1) ?? -1) ? 'eos' : 'length';
}
