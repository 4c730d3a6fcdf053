import { randomInt } from 'node:crypto';
import type { ContinuationOptions } from '@flex/llama';
import { z } from 'zod';

/** Stop texts of a request at most, and biases. */
const [mostStops, mostBiases] = [32, 16_384];

const isBias = (value: unknown): value is Readonly<Record<string, number>> =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  Object.keys(value).length <= mostBiases &&
  Object.entries(value).every(
    ([id, x]) => /^\d{1,9}$/.test(id) && typeof x === 'number' && Math.abs(x) <= 100,
  );

/** The keys of a request that say how its tokens are chosen, with OpenAI's ranges and defaults. */
export const samplingKeys = {
  n: z.int().min(1).max(128).default(1),
  temperature: z.number().min(0).max(2).default(1),
  top_p: z.number().gt(0).max(1).default(1),
  /** Not OpenAI's: the k likeliest tokens, the share of the likeliest, the penalty of Keskar et al. 2019. */
  top_k: z.int().min(1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repetition_penalty: z.number().gt(0).max(10).optional(),
  presence_penalty: z.number().min(-2).max(2).default(0),
  frequency_penalty: z.number().min(-2).max(2).default(0),
  logit_bias: z
    .custom<Readonly<Record<string, number>>>(isBias)
    .optional()
    .describe(`an object of at most ${mostBiases} token ids and numbers from -100 to 100`),
  seed: z.int().optional(),
  stop: z
    .union([z.string().min(1), z.array(z.string().min(1)).max(mostStops)])
    .transform((stop) => (typeof stop === 'string' ? [stop] : stop))
    .default([])
    .describe(`a text, or a list of at most ${mostStops} texts, none of them empty`),
  stream: z.boolean().default(false),
  stream_options: z
    .strictObject({ include_usage: z.boolean().optional(), include_obfuscation: z.literal(false).optional() })
    .optional(),
  /** Who asks, and what for; nothing depends on them. */
  user: z.string().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  store: z.literal(false).optional(),
};

const samplingSchema = z.object(samplingKeys);
export type SamplingKeys = z.output<typeof samplingSchema>;

/**
 * How sample `index` of a prompt is continued, but for its length. Each sample has its own seed, from one that
 * is drawn where the request gives none.
 */
export function samplingOptions(
  keys: SamplingKeys,
): (index: number) => Omit<ContinuationOptions, 'maxNewTokens'> {
  const samples = keys.temperature > 0;
  const seed = keys.seed ?? randomInt(2 ** 32);
  return (index) => ({
    temperature: keys.temperature,
    ...(samples && { topK: keys.top_k, topP: keys.top_p, minP: keys.min_p, seed: (seed + index) >>> 0 }),
    repetitionPenalty: keys.repetition_penalty,
    presencePenalty: keys.presence_penalty,
    frequencyPenalty: keys.frequency_penalty,
    logitBias: keys.logit_bias && new Map(Object.entries(keys.logit_bias).map(([id, x]) => [Number(id), x])),
    stop: keys.stop,
  });
}
