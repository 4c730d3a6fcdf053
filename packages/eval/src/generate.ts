import { createHash } from 'node:crypto';
import { canonicalJson } from '@flex/base';
import { HarnessError } from '@flex/judge';
import type { Problem } from './benchmark.ts';
import { type CompletionCache, openCompletionCache } from './completion-cache.ts';
import { completionSample, type Sample } from './samples.ts';
import { type Truncation, truncate } from './truncate.ts';

/** How text is decoded. All of it goes into the cache's key and the protocol. */
export interface Decoding {
  readonly maxNewTokens: number;
  /** Further settings of the generator, such as temperature, topP or beams. */
  readonly [setting: string]: unknown;
}

export interface GenerateRequest {
  readonly prompt: string;
  /** Texts that may end the generation early; what comes after the first is cut in any case. */
  readonly stop: readonly string[];
  /** A whole number below 2³², of this request alone: a batch's make-up need not change a result. */
  readonly seed: number;
  readonly decoding: Decoding;
}

/**
 * Continues each prompt; gives the texts after the prompts, in order. What it hands to `keep` before, by the
 * place of its request, an interruption does not lose.
 */
export type Generate = (
  requests: readonly GenerateRequest[],
  signal: AbortSignal | undefined,
  keep: (index: number, text: string) => void,
) => Promise<readonly string[]>;

export interface CompleteOptions {
  readonly problems: Iterable<Problem> | AsyncIterable<Problem>;
  readonly generate: Generate;
  /** What decides the model's texts: the digests of its weights, adapter and tokenizer. */
  readonly model: string;
  readonly decoding: Decoding;
  readonly seed: number;
  /** Samples of each problem. */
  readonly n: number;
  /** Requests in one call of `generate`; the last may be smaller. */
  readonly batchSize: number;
  /** File of finished completions, which is made if it is not there; null keeps none. */
  readonly cache: string | null;
  readonly truncation?: Truncation;
  readonly signal?: AbortSignal;
}

export interface GeneratedSample extends Sample {
  /** Which of the problem's samples, from 0 to n − 1. */
  readonly index: number;
  /** Whether it came from the cache. */
  readonly cached: boolean;
}

interface Request extends GenerateRequest {
  readonly problem: Problem;
  readonly index: number;
  readonly key: string;
}

/**
 * n completions of each problem, in the order of problems and samples. With a cache, what is there is not
 * generated again, and what is generated is there before it is given, so that an interrupted run goes on
 * where it stopped. The cache holds texts before truncation.
 *
 * Throws the signal's reason when it is aborted, RangeError for n or batchSize below 1, DataError for a
 * damaged cache, and HarnessError where `generate` does not give a text a request.
 */
export async function* complete(options: CompleteOptions): AsyncGenerator<GeneratedSample> {
  const { n, batchSize, truncation = 'stop-list', signal } = options;
  if (![n, batchSize].every((count) => Number.isSafeInteger(count) && count >= 1)) {
    throw new RangeError(`n and batchSize must be whole numbers from 1, got n=${n}, batchSize=${batchSize}`);
  }
  signal?.throwIfAborted();
  const cache = openCompletionCache(options.cache);
  try {
    for await (const group of groups(options, (key) => !cache.has(key))) {
      signal?.throwIfAborted();
      const wanted = [...new Map(group.map((request) => [request.key, request])).values()];
      const fresh = wanted.filter(({ key }) => !cache.has(key));
      if (fresh.length > 0) await generateInto(cache, fresh, options);
      const made = new Set(fresh.map(({ key }) => key));
      for (const { problem, index, key } of group) {
        const text = truncate(cache.get(key), truncation, problem.stop);
        yield { ...completionSample(problem, text), index, cached: !made.has(key) };
      }
    }
  } finally {
    cache.close();
  }
}

/** The requests in order, in groups that hold batchSize keys to generate, the last perhaps fewer. */
async function* groups(
  options: CompleteOptions,
  isFresh: (key: string) => boolean,
): AsyncGenerator<Request[]> {
  let group: Request[] = [];
  const fresh = new Set<string>();
  for await (const problem of options.problems) {
    for (let index = 0; index < options.n; index++) {
      const request = requestOf(problem, index, options);
      group.push(request);
      if (isFresh(request.key)) fresh.add(request.key);
      if (fresh.size > 0 && fresh.size < options.batchSize) continue;
      yield group;
      group = [];
      fresh.clear();
    }
  }
  if (group.length > 0) yield group;
}

function requestOf(problem: Problem, index: number, { model, decoding, seed }: CompleteOptions): Request {
  const { prompt, stop } = problem;
  const hash = createHash('sha256')
    .update(canonicalJson({ model, decoding, seed, prompt, stop, sample: index }, 'key'))
    .digest();
  return { problem, index, prompt, stop, decoding, seed: hash.readUInt32BE(), key: hash.toString('hex') };
}

/** Generates what was asked for, and keeps it. */
async function generateInto(
  cache: CompletionCache,
  requests: readonly Request[],
  { generate, signal }: CompleteOptions,
): Promise<void> {
  const asked = requests.map(({ prompt, stop, seed, decoding }) => ({ prompt, stop, seed, decoding }));
  const kept = new Set<number>();
  const keep = (index: number, text: string) => {
    cache.add({ key: requests[index].key, text });
    kept.add(index);
  };
  const texts = await generate(asked, signal, keep);
  if (texts.length !== requests.length || texts.some((text) => typeof text !== 'string')) {
    throw new HarnessError(`generate: must give a text for each of ${requests.length} requests`);
  }
  const rest = requests.map(({ key }, i) => ({ key, text: texts[i] })).filter((_, i) => !kept.has(i));
  cache.add(...rest);
}
