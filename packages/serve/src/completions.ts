import { setImmediate as turn } from 'node:timers/promises';
import { openInfill } from '@flex/llama';
import { z } from 'zod';
import { type AnswerFormat, answerTexts } from './answer-texts.ts';
import { ApiError } from './api-error.ts';
import { mostAlternatives, textLogprobs } from './logprobs.ts';
import type { Wanted } from './parts.ts';
import { parseBody } from './read-body.ts';
import type { Reply } from './reply.ts';
import { samplingKeys, samplingOptions } from './sampling-keys.ts';
import { adapterNamed, requireShortText, roomFor, type Served } from './served.ts';

type Prompt = string | readonly string[] | readonly number[] | readonly (readonly number[])[];

const isText = (value: unknown): value is string => typeof value === 'string';
const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const listOf =
  <T>(isOne: (value: unknown) => value is T) =>
  (value: unknown): value is readonly T[] =>
    Array.isArray(value) && value.length > 0 && value.every(isOne);
const isIds = listOf(isId);
const isPrompt = (value: unknown): value is Prompt =>
  isText(value) || isIds(value) || listOf(isText)(value) || listOf(isIds)(value);

const schema = z.strictObject({
  model: z.string(),
  // By hand: a union looks for all that is wrong with each of a million ids in each of its variants.
  prompt: z
    .custom<Prompt>(isPrompt)
    .describe('a text, a list of texts, a list of token ids, or a list of such lists'),
  /** What stands behind the text that is wanted: the model fills the gap. */
  suffix: z.string().optional(),
  max_tokens: z.int().min(0).optional(),
  echo: z.boolean().default(false),
  logprobs: z.int().min(0).max(mostAlternatives).optional(),
  ...samplingKeys,
});

const unsupported = { best_of: 'ask for n samples, and choose among them by their logprobs' };

/** Tokens of prompts after which others have a turn, some 20 ms of encoding. */
const tokensATurn = 2 ** 14;

/** Tokens that follow a prompt where the request does not say. */
const usualTokens = 16;

/** POST /v1/completions: continuations of prompts. Throws ApiError for a request that is wrong. */
export async function answerCompletions(
  served: Served,
  body: object,
  { reply, signal }: { readonly reply: Reply; readonly signal: AbortSignal },
): Promise<void> {
  const keys = parseBody(schema, body, unsupported);
  const { tokenizer } = served;
  const { model, max_tokens: asked, echo, logprobs, stream, stream_options } = keys;
  const adapter = adapterNamed(served, model);
  const scoresPrompt = echo && logprobs !== undefined;
  if (asked === 0 && !scoresPrompt)
    throw new ApiError(400, 'max_tokens may be 0 only with echo and logprobs', { param: 'max_tokens' });
  if (keys.suffix !== undefined && echo)
    throw new ApiError(400, 'echo is not possible with a suffix', { param: 'echo' });
  const infill = keys.suffix === undefined ? null : openInfill(tokenizer);
  const endIds = infill?.endIds;
  const prompts = promptsOf(keys.prompt);
  served.queue.requireRoom(prompts.length * keys.n);
  if (keys.suffix !== undefined) requireShortText(served, keys.suffix);
  const idsOf = (prompt: string | readonly number[]): readonly number[] => {
    if (typeof prompt === 'string') {
      requireShortText(served, prompt);
      return infill?.prompt(prompt, keys.suffix!) ?? tokenizer.encode(prompt);
    }
    if (infill) throw new ApiError(400, 'a suffix needs a prompt that is a text', { param: 'suffix' });
    return prompt;
  };
  const options = samplingOptions(keys);
  const promptLogprobs = scoresPrompt ? logprobs : undefined;
  const wanted: Wanted[] = [];
  let [promptTokens, sinceTurn] = [0, 0];
  for (const given of prompts) {
    const prompt = idsOf(given);
    const maxNewTokens = roomFor(served, prompt.length, { asked, usual: usualTokens });
    const text = typeof given === 'string' ? given : echo ? tokenizer.decode(given) : '';
    for (let i = 0; i < keys.n; i++)
      wanted.push({
        request: {
          prompt,
          adapter,
          maxNewTokens,
          logprobs,
          promptLogprobs,
          endIds,
          tokenizer,
          ...options(i),
        },
        echo: echo ? text : null,
      });
    promptTokens += prompt.length;
    sinceTurn += prompt.length;
    if (sinceTurn < tokensATurn) continue;
    sinceTurn = 0;
    await turn();
    signal.throwIfAborted();
  }
  const format: AnswerFormat = {
    idPrefix: 'cmpl',
    object: { whole: 'text_completion', chunk: 'text_completion' },
    whole: ({ text, tokens, finish }) => ({
      text,
      logprobs: logprobs === undefined ? null : textLogprobs(tokenizer, tokens),
      finish_reason: finish,
    }),
    chunk: (part) => format.whole(part),
    opening: null,
  };
  const request = { model, wanted, promptTokens, stream, stream_options };
  await answerTexts(served, request, { format, reply, signal });
}

function promptsOf(prompt: Prompt): readonly (string | readonly number[])[] {
  if (isText(prompt)) return [prompt];
  return isIds(prompt) ? [prompt] : prompt;
}
