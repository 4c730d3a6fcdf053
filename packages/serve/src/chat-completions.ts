import { z } from 'zod';
import { type AnswerFormat, answerTexts } from './answer-texts.ts';
import { ApiError } from './api-error.ts';
import { chatLogprobs, mostAlternatives } from './logprobs.ts';
import type { PartToken, Wanted } from './parts.ts';
import { parseBody } from './read-body.ts';
import type { Reply } from './reply.ts';
import { samplingKeys, samplingOptions } from './sampling-keys.ts';
import { adapterNamed, requireShortText, roomFor, type Served } from './served.ts';

const textParts = z.array(z.strictObject({ type: z.literal('text'), text: z.string() })).min(1);
const message = z.strictObject({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z
    .union([z.string(), textParts])
    .transform((content) =>
      typeof content === 'string' ? content : content.map(({ text }) => text).join(''),
    )
    .describe('a text, or a list of {"type": "text", "text": …}'),
  name: z.string().optional(),
});
const tokens = z.int().min(1).optional();
const schema = z.strictObject({
  model: z.string(),
  messages: z.array(message).min(1),
  max_tokens: tokens,
  max_completion_tokens: tokens,
  logprobs: z.boolean().default(false),
  top_logprobs: z.int().min(0).max(mostAlternatives).optional(),
  response_format: z.strictObject({ type: z.literal('text') }).optional(),
  ...samplingKeys,
});

const noTools = 'no tools are called here; describe them in the messages';
const unsupported = { tools: noTools, tool_choice: noTools, functions: noTools, function_call: noTools };

/** POST /v1/chat/completions: the next turn of a chat. Throws ApiError for a request that is wrong. */
export async function answerChat(
  served: Served,
  body: object,
  { reply, signal }: { readonly reply: Reply; readonly signal: AbortSignal },
): Promise<void> {
  const keys = parseBody(schema, body, unsupported);
  const { tokenizer, chatTemplate } = served;
  const { model, logprobs: wantsLogprobs, top_logprobs: top, stream, stream_options } = keys;
  const adapter = adapterNamed(served, model);
  if (top !== undefined && !wantsLogprobs)
    throw new ApiError(400, 'top_logprobs needs logprobs to be true', { param: 'top_logprobs' });
  if (!chatTemplate)
    throw new ApiError(400, `${model} has no chat template; ask for /v1/completions`, { param: 'messages' });
  // A developer's message is what later interfaces of OpenAI call the system's.
  const messages = keys.messages.map(({ role, content }) => ({
    role: role === 'developer' ? 'system' : role,
    content,
  }));
  // The template writes the beginning of the text too.
  const text = chatTemplate.render(messages, { ask: true });
  requireShortText(served, text);
  const prompt = tokenizer.encode(text, { bos: false });
  const asked = keys.max_completion_tokens ?? keys.max_tokens;
  const maxNewTokens = roomFor(served, prompt.length, { asked, usual: Number.POSITIVE_INFINITY });
  const logprobs = wantsLogprobs ? (top ?? 0) : undefined;
  const options = samplingOptions(keys);
  const wanted = Array.from(
    { length: keys.n },
    (_, i): Wanted => ({
      request: { prompt, adapter, maxNewTokens, logprobs, tokenizer, ...options(i) },
      echo: null,
    }),
  );
  const logprobsOf = (tokens: readonly PartToken[]) =>
    wantsLogprobs ? chatLogprobs(tokenizer, tokens) : null;
  const format: AnswerFormat = {
    idPrefix: 'chatcmpl',
    object: { whole: 'chat.completion', chunk: 'chat.completion.chunk' },
    whole: ({ text, tokens, finish }) => ({
      message: { role: 'assistant', content: text, refusal: null },
      logprobs: logprobsOf(tokens),
      finish_reason: finish,
    }),
    chunk: ({ text, tokens, finish }) => ({
      delta: text === '' ? {} : { content: text },
      logprobs: logprobsOf(tokens),
      finish_reason: finish,
    }),
    opening: { delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null },
  };
  const request = { model, wanted, promptTokens: prompt.length, stream, stream_options };
  await answerTexts(served, request, { format, reply, signal });
}
