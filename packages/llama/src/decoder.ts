import { setImmediate as turn } from 'node:timers/promises';
import { ConfigError } from '@flex/base';
import { checkPrompt } from './check-prompt.ts';
import {
  type Completion,
  type Continuation,
  type ContinuationEvents,
  type ContinuationOptions,
  checkContinuation,
  checkLogprobs,
  newContinuation,
} from './continuation.ts';
import type { CausalLM } from './model.ts';
import { newPromptScores, type PromptScores } from './prompt-scores.ts';
import { newSlots, type PromptReading, pieceTokens } from './slots.ts';

/** A prompt, and how it is continued. */
export interface GenerateRequest extends ContinuationOptions {
  readonly prompt: readonly number[];
  /** Which of the decoder's adapters; left out: the model as it is. */
  readonly adapter?: string;
  /**
   * Gives the prompt's log-probabilities, each with so many alternatives; then maxNewTokens may be 0. Left
   * out: none.
   */
  readonly promptLogprobs?: number;
}

export interface SubmitOptions extends ContinuationEvents {
  /** Aborted: the text ends here, its slot is free, and its promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface DecoderOptions {
  /** Adapted models by the names that requests call them, all of them on the decoder's model. */
  readonly adapters?: ReadonlyMap<string, CausalLM>;
  /** Awaited between two steps, so that others have their turns; one turn of the program if left out. */
  readonly pause?: () => Promise<unknown>;
}

/** Continues texts as they come, several at the same time. */
export interface Decoder {
  /**
   * The continuation of a prompt, which waits for a free slot in the order of these calls. Rejects as
   * `generate` throws, with ConfigError for an adapter that there is not, and all that are not done when the
   * device fails.
   */
  submit(request: GenerateRequest, options?: SubmitOptions): Promise<Completion>;
  /** Ends what runs and waits, which rejects, and releases the slots. */
  close(): Promise<void>;
}

/** Tokens of prompts that are read before running texts have a step: with fewer, steps find slots empty. */
export const tokensAStep = 2 * pieceTokens;

/** A text that waits for a slot, or has one. */
interface Job {
  readonly request: GenerateRequest;
  readonly model: CausalLM;
  readonly text: Continuation;
  readonly scores: PromptScores | null;
  readonly signal?: AbortSignal;
  resolve(completion: Completion): void;
  reject(reason: unknown): void;
}

/**
 * A decoder of `count` slots. Each completion depends on its own request and on `count` (by the rounding of
 * products, whose kernels may differ), not on the other requests, whatever their adapters. The program has a
 * turn between two steps. Throws ConfigError for a count below 1.
 */
export function newDecoder(
  model: CausalLM,
  count: number,
  { adapters = new Map(), pause: turns = () => turn() }: DecoderOptions = {},
): Decoder {
  if (!(Number.isSafeInteger(count) && count >= 1)) {
    throw new ConfigError(`batch-size must be a whole number of at least 1, got ${count}`);
  }
  for (const [name, { weights }] of adapters) {
    if (weights !== model.weights) throw new Error(`adapter "${name}" is not on the weights of this model`);
  }
  const slots = newSlots(model, count);
  const waiting: Job[] = [];
  const running = new Map<number, { job: Job; token: number }>();
  let reading: { job: Job; slot: number; prompt: PromptReading } | null = null;
  let closed: Error | null = null;
  let loop: Promise<void> | null = null;

  const modelOf = (adapter: string | undefined): CausalLM => {
    const chosen = adapter === undefined ? model : adapters.get(adapter);
    if (chosen) return chosen;
    const known = adapters.size > 0 ? `there are ${[...adapters.keys()].join(', ')}` : 'there is none';
    throw new ConfigError(`no adapter is called "${adapter}"; ${known}`);
  };
  const complete = ({ text, scores, resolve }: Job): void =>
    resolve({ ...text.completion(), ...(scores && { promptLogprobs: scores.all() }) });
  /** With these logits the text of a slot goes on, or it is complete and its slot free. */
  const advance = (slot: number, job: Job, logits: Float32Array): void => {
    running.delete(slot);
    try {
      const token = job.request.maxNewTokens === 0 ? null : job.text.next(logits);
      if (token === null) complete(job);
      else running.set(slot, { job, token });
    } catch (error) {
      job.reject(error);
    }
  };
  const endReading = (): void => {
    reading?.prompt.dispose();
    reading = null;
  };
  const dropAborted = (): void => {
    for (const [slot, { job }] of running) if (isAborted(job)) running.delete(slot);
    if (reading && isAborted(reading.job)) endReading();
    for (const job of waiting.splice(0)) if (!isAborted(job)) waiting.push(job);
  };
  /** Others have their turns, and may abort what they asked for. */
  const pause = async (): Promise<void> => {
    await turns();
    dropAborted();
  };
  /** The first text that waits gets a free slot, if there are both. */
  const beginReading = (): void => {
    const slot = Array.from({ length: count }, (_, slot) => slot).find((slot) => !running.has(slot));
    const job = slot === undefined ? undefined : waiting.shift();
    if (slot === undefined || !job) return;
    const { request, model, scores } = job;
    reading = { job, slot, prompt: slots.read(slot, request.prompt, { model, onLogits: scores?.push }) };
  };
  /** Reads prompts, one after the other, until so many tokens are computed or more. */
  const readPrompts = async (): Promise<void> => {
    for (let left = tokensAStep; left > 0; ) {
      if (!reading) beginReading();
      const own = reading;
      if (!own) return;
      const { tokens, logits } = await own.prompt.next();
      if (reading !== own) return; // closed meanwhile
      left -= tokens;
      if (logits) {
        endReading();
        advance(own.slot, own.job, logits);
      }
      await pause();
    }
  };
  const round = async (): Promise<void> => {
    await readPrompts();
    if (running.size === 0) return;
    const rows = await slots.step(new Map([...running].map(([slot, { token }]) => [slot, token])));
    for (const [slot, { job }] of [...running]) advance(slot, job, rows.get(slot)!);
    await pause();
  };
  const rejectAll = (reason: unknown): void => {
    for (const { job } of running.values()) job.reject(reason);
    reading?.job.reject(reason);
    endReading();
    for (const job of waiting) job.reject(reason);
    running.clear();
    waiting.length = 0;
  };
  const run = async (): Promise<void> => {
    try {
      dropAborted();
      while (!closed && (waiting.length > 0 || reading || running.size > 0)) await round();
    } catch (error) {
      rejectAll(error);
    } finally {
      loop = null;
    }
  };

  return {
    submit(request, { signal, ...events } = {}) {
      return new Promise((resolve, reject) => {
        if (closed) throw closed;
        signal?.throwIfAborted();
        const { prompt, maxNewTokens, promptLogprobs } = request;
        const chosen = modelOf(request.adapter);
        checkPrompt(model, prompt, maxNewTokens, { least: promptLogprobs === undefined ? 1 : 0 });
        checkContinuation(request, model.config.vocabSize);
        checkLogprobs('prompt-logprobs', promptLogprobs);
        const text = newContinuation(model.config.eosIds, prompt, request, events);
        const scores = promptLogprobs === undefined ? null : newPromptScores(prompt, promptLogprobs);
        waiting.push({ request, model: chosen, text, scores, signal, resolve, reject });
        loop ??= Promise.resolve().then(run);
      });
    },
    async close() {
      closed ??= new Error('the decoder is closed');
      rejectAll(closed);
      await loop;
      slots.dispose();
    },
  };
}

/** Whether a text is not wanted any more; it is told so. */
function isAborted({ signal, reject }: Job): boolean {
  if (signal?.aborted) reject(signal.reason);
  return signal?.aborted ?? false;
}
