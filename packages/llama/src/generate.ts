import { ConfigError, DataError } from '@flex/base';
import { beamSearch } from './beam-search.ts';
import {
  type Completion,
  type Continuation,
  type ContinuationOptions,
  completionOf,
  newContinuation,
} from './continuation.ts';
import { newDecoder } from './decoder.ts';
import type { LlamaModel } from './model.ts';
import { newSlots } from './slots.ts';

export interface GenerateOptions extends ContinuationOptions {
  /** Above 1: beam search. */
  readonly numBeams?: number;
  /** Told of each piece of text as it becomes certain; not with beams. */
  readonly onText?: (piece: string) => void;
}

/**
 * Continues a prompt. Greedy and beam search follow transformers' `generate` (length penalty 1); sampling
 * draws from a counter-based generator, the same on every backend. Throws DataError for an empty prompt or an
 * id outside the vocabulary, or when prompt and completion exceed the context; Error at the first logit that
 * is not finite.
 */
export async function generate(
  model: LlamaModel,
  prompt: readonly number[],
  options: GenerateOptions,
): Promise<Completion> {
  checkPrompt(model, prompt, options.maxNewTokens);
  const { maxNewTokens, numBeams = 1, onText } = options;
  const { eosIds } = model.config;
  const decoder = newDecoder(model);
  if (numBeams > 1) {
    const ids = await beamSearch(decoder, prompt, { maxNewTokens, numBeams, eosIds });
    return completionOf(ids, eosIds, options);
  }
  const text = newContinuation(eosIds, options, onText);
  let state = await decoder.start(prompt);
  try {
    for (let id = text.next(state.rows[0]); id !== null; id = text.next(state.rows[0])) {
      state = await decoder.step(state, [id], [0]);
    }
  } finally {
    decoder.free(state);
  }
  return text.completion();
}

/** One of several prompts, and how it is continued. */
export interface GenerateRequest extends ContinuationOptions {
  readonly prompt: readonly number[];
}

export interface GenerateAllOptions {
  /** Texts decoded at the same time: each takes memory, and a step of all little longer than of one. */
  readonly batchSize: number;
  /** Told of each completion as it ends, by the place of its request. */
  readonly onCompletion?: (index: number, completion: Completion) => void;
  readonly signal?: AbortSignal;
}

/**
 * Continues many prompts, `batchSize` at a time: one that has ended makes room for the next. Gives the
 * completions in the order of the requests. Each depends on its own request and on `batchSize` (by the
 * rounding of products, whose kernels may differ), not on the other requests. No beam search. Throws as
 * `generate` does, ConfigError for a batchSize below 1, and the signal's reason when it is aborted.
 */
export async function generateAll(
  model: LlamaModel,
  requests: readonly GenerateRequest[],
  { batchSize, onCompletion, signal }: GenerateAllOptions,
): Promise<readonly Completion[]> {
  if (!(Number.isSafeInteger(batchSize) && batchSize >= 1)) {
    throw new ConfigError(`batch-size must be a whole number of at least 1, got ${batchSize}`);
  }
  for (const { prompt, maxNewTokens } of requests) checkPrompt(model, prompt, maxNewTokens);
  const completions: Completion[] = [];
  const slots = newSlots(model, batchSize);
  const running = new Map<number, { index: number; text: Continuation; token: number }>();
  /** With these logits the text of a slot goes on, or it is complete and its slot free. */
  const advance = (slot: number, index: number, text: Continuation, logits: Float32Array): void => {
    const token = text.next(logits);
    if (token !== null) return void running.set(slot, { index, text, token });
    completions[index] = text.completion();
    onCompletion?.(index, completions[index]);
    running.delete(slot);
  };
  try {
    let next = 0;
    while (next < requests.length || running.size > 0) {
      for (let slot = 0; slot < batchSize && next < requests.length; slot++) {
        if (running.has(slot)) continue;
        signal?.throwIfAborted();
        const request = requests[next];
        const text = newContinuation(model.config.eosIds, request);
        advance(slot, next++, text, await slots.fill(slot, request.prompt));
      }
      if (running.size === 0) continue;
      signal?.throwIfAborted();
      const rows = await slots.step(new Map([...running].map(([slot, { token }]) => [slot, token])));
      for (const [slot, { index, text }] of [...running]) advance(slot, index, text, rows.get(slot)!);
    }
  } finally {
    slots.dispose();
  }
  return completions;
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
    const room = maxPositions - prompt.length;
    throw new DataError(
      `generate: the prompt's ${prompt.length} tokens and ${maxNewTokens} new ones exceed the model's context of ` +
        `${maxPositions}; ${room > 0 ? `lower --max-new-tokens to ${room}` : 'shorten the prompt'}`,
    );
  }
}
