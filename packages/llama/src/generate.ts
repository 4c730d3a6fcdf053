import { type BeamOptions, beamSearch, checkBeams } from './beam-search.ts';
import { checkPrompt } from './check-prompt.ts';
import {
  type Completion,
  type ContinuationOptions,
  checkContinuation,
  completionOf,
} from './continuation.ts';
import { type GenerateRequest, newDecoder } from './decoder.ts';
import type { CausalLM } from './model.ts';
import { newSlots } from './slots.ts';

export interface GenerateOptions extends ContinuationOptions, Partial<BeamOptions> {
  /** Above 1: beam search, or beam sampling where the temperature is above 0. */
  readonly numBeams?: number;
  /** Told of each piece of text as it becomes certain; not with beams. */
  readonly onText?: (piece: string) => void;
}

/**
 * Continues a prompt. Greedy search, sampling, beam search and beam sampling are as transformers' `generate`
 * defines them; random numbers come from a counter-based generator, the same on every backend. A text longer
 * than the model's context goes on (see beyondContext). Throws DataError for an empty prompt or an id outside
 * the vocabulary, and Error at the first logit that is not finite.
 */
export async function generate(
  model: CausalLM,
  prompt: readonly number[],
  options: GenerateOptions,
): Promise<Completion> {
  const { maxNewTokens, numBeams = 1, onText } = options;
  if (numBeams === 1) {
    const decoder = newDecoder(model, 1);
    return await decoder.submit({ ...options, prompt }, { onText }).finally(decoder.close);
  }
  checkBeams({ ...options, numBeams });
  checkPrompt(model, prompt, maxNewTokens);
  checkContinuation(options, model.config.vocabSize);
  const eosIds = [...model.config.eosIds, ...(options.endIds ?? [])];
  const slots = newSlots(model, numBeams);
  try {
    const { ids, logprobs } = await beamSearch(slots, prompt, { ...options, numBeams, eosIds });
    return { ...completionOf(ids, eosIds, options), ...(options.logprobs !== undefined && { logprobs }) };
  } finally {
    slots.dispose();
  }
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
 * completions in the order of the requests. Each depends on its own request and on `batchSize` (see
 * newDecoder), not on the other requests. No beam search. Throws as `generate` does, ConfigError for a
 * batchSize below 1, and the signal's reason when it is aborted.
 */
export async function generateAll(
  model: CausalLM,
  requests: readonly GenerateRequest[],
  { batchSize, onCompletion, signal }: GenerateAllOptions,
): Promise<readonly Completion[]> {
  for (const { prompt, maxNewTokens } of requests) checkPrompt(model, prompt, maxNewTokens);
  const decoder = newDecoder(model, batchSize);
  try {
    return await Promise.all(
      requests.map(async (request, index) => {
        const completion = await decoder.submit(request, { signal });
        onCompletion?.(index, completion);
        return completion;
      }),
    );
  } finally {
    await decoder.close();
  }
}
