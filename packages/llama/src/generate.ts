import { ConfigError, DataError, uniform } from '@flex/tensor';
import { beamSearch } from './beam-search.ts';
import { type Decoder, newDecoder } from './decoder.ts';
import type { Linear, LlamaModel } from './model.ts';
import { sampleToken } from './sample.ts';
import type { Tokenizer } from './tokenizer.ts';

/** The second word of the random key: what is drawn. */
const sampleStream = 0x5a3e;

export interface GenerateOptions {
  /** Left out: the model's own weights alone. */
  readonly linear?: Linear;
  readonly maxNewTokens: number;
  /** Above 1: beam search. */
  readonly numBeams?: number;
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
  /** Told of each piece of text as it becomes certain; not with beams. */
  readonly onText?: (piece: string) => void;
}

export interface Completion {
  /** The new token ids alone; an end-of-text id is the last of them. */
  readonly ids: readonly number[];
  /** Their text, cut before a stop text; empty without a tokenizer. */
  readonly text: string;
  readonly finish: 'eos' | 'stop' | 'length';
}

/**
 * Continues a prompt. Greedy and beam search follow transformers' `generate` (length penalty 1); sampling
 * draws from a counter-based generator, the same on every backend. Throws DataError for an empty prompt or an
 * id outside the vocabulary, or when prompt and completion exceed the context.
 */
export async function generate(
  model: LlamaModel,
  prompt: readonly number[],
  options: GenerateOptions,
): Promise<Completion> {
  checkPrompt(model, prompt, options.maxNewTokens);
  const decoder = newDecoder(model, options.linear ?? model.linear);
  if ((options.numBeams ?? 1) > 1) {
    const { maxNewTokens, numBeams = 1, tokenizer } = options;
    const ids = await beamSearch(decoder, prompt, { maxNewTokens, numBeams, eosIds: model.config.eosIds });
    return finished(ids, model.config.eosIds, tokenizer, options.stop ?? []);
  }
  return decodeOne(decoder, prompt, model.config.eosIds, options);
}

function checkPrompt(model: LlamaModel, prompt: readonly number[], maxNewTokens: number): void {
  const { vocabSize, maxPositions } = model.config;
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens >= 1)) {
    throw new ConfigError(`max-new-tokens must be a whole number of at least 1, got ${maxNewTokens}`);
  }
  if (prompt.length === 0) throw new DataError('generate: the prompt has no token; it needs at least one');
  const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong !== undefined)
    throw new DataError(`generate: ${wrong} is not in the vocabulary of ${vocabSize} tokens`);
  if (prompt.length + maxNewTokens > maxPositions) {
    throw new DataError(
      `generate: ${prompt.length} tokens and ${maxNewTokens} new ones exceed the context of ${maxPositions}`,
    );
  }
}

async function decodeOne(
  decoder: Decoder,
  prompt: readonly number[],
  eosIds: readonly number[],
  options: GenerateOptions,
): Promise<Completion> {
  const { maxNewTokens, temperature = 0, topK, topP, seed = 0, stop = [], tokenizer, onText } = options;
  const ids: number[] = [];
  const watch = new StopWatch(stop);
  const stream = tokenizer?.decodeStream({ continuation: true });
  const tell = (piece: string) => {
    if (piece) onText?.(piece);
  };
  let state = await decoder.start(prompt);
  while (ids.length < maxNewTokens) {
    const draw = uniform(1, { key: [seed, sampleStream], counter: [0, ids.length] })[0];
    const id = sampleToken(state.rows[0], { temperature, topK, topP, draw });
    ids.push(id);
    if (eosIds.includes(id)) break;
    tell(watch.push(stream?.push(id) ?? ''));
    if (watch.stopped) break;
    if (ids.length < maxNewTokens) state = await decoder.step(state, [id], [0]);
  }
  decoder.free(state);
  tell(watch.push(stream?.end() ?? ''));
  tell(watch.rest());
  const finish = watch.stopped ? 'stop' : eosIds.includes(ids.at(-1) ?? -1) ? 'eos' : 'length';
  return { ids, text: watch.text, finish };
}

function finished(
  ids: readonly number[],
  eosIds: readonly number[],
  tokenizer: Tokenizer | undefined,
  stop: readonly string[],
): Completion {
  const watch = new StopWatch(stop);
  watch.push(tokenizer?.decode(ids, { continuation: true }) ?? '');
  watch.rest();
  const finish = watch.stopped ? 'stop' : eosIds.includes(ids.at(-1) ?? -1) ? 'eos' : 'length';
  return { ids, text: watch.text, finish };
}

/** Passes text on until a stop text appears; holds back what could be the beginning of one. */
class StopWatch {
  readonly #stop: readonly string[];
  #held = '';
  text = '';
  stopped = false;

  constructor(stop: readonly string[]) {
    this.#stop = stop.filter((s) => s.length > 0);
  }

  /** Takes a piece; returns what is now certain to belong to the completion. */
  push(piece: string): string {
    if (this.stopped) return '';
    this.#held += piece;
    const hits = this.#stop.map((s) => this.#held.indexOf(s)).filter((at) => at >= 0);
    if (hits.length > 0) {
      this.stopped = true;
      return this.#pass(Math.min(...hits));
    }
    return this.#pass(this.#held.length - this.#possibleStart());
  }

  /** What was held back, once no more text comes. */
  rest(): string {
    return this.stopped ? '' : this.#pass(this.#held.length);
  }

  #pass(length: number): string {
    const certain = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    this.text += certain;
    return certain;
  }

  /** Length of the longest end of the held text that begins a stop text. */
  #possibleStart(): number {
    const longest = Math.max(0, ...this.#stop.map((s) => s.length - 1));
    for (let n = Math.min(longest, this.#held.length); n > 0; n--) {
      const end = this.#held.slice(-n);
      if (this.#stop.some((s) => s.startsWith(end))) return n;
    }
    return 0;
  }
}
