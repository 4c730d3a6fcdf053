import { generate } from '@flex/llama';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ModelServer, serve } from './serve.ts';
import { openMicro, tokenizer } from './testing/micro.ts';

// What programs that know OpenAI's interface meet, by OpenAI's own client.

let micro: Awaited<ReturnType<typeof openMicro>>;
let server: ModelServer;
let client: OpenAI;

beforeAll(async () => {
  micro = await openMicro({ slots: 4 });
  server = await serve(micro.models, { port: 0 });
  client = new OpenAI({ baseURL: server.address, apiKey: 'any', maxRetries: 0 });
});
afterAll(async () => {
  await server.close();
  await micro.close();
});

const prompt = 'def add(a, b):\n';
const greedy = { model: 'micro', prompt, temperature: 0, max_tokens: 24 } as const;
const alone = async (ids: readonly number[], options: object = {}) =>
  generate(micro.model, ids, { maxNewTokens: 24, tokenizer, ...options });

test('the models are the base and its adapters', async () => {
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  expect(models).toEqual(['micro', 'contrary']);
  expect(await client.models.retrieve('contrary')).toMatchObject({ id: 'contrary', object: 'model' });
  await expect(client.models.retrieve('other')).rejects.toThrow(/404 there is no such model/);
});

describe('completions', () => {
  test('are those of generate, with their usage', async () => {
    const ids = tokenizer.encode(prompt);
    const expected = await alone(ids);
    const { choices, usage, object } = await client.completions.create(greedy);
    expect(choices).toEqual([{ index: 0, text: expected.text, logprobs: null, finish_reason: 'length' }]);
    expect(object).toBe('text_completion');
    expect(usage).toEqual({
      prompt_tokens: ids.length,
      completion_tokens: 24,
      total_tokens: ids.length + 24,
    });
  });

  test('of texts, of token ids and of lists of both are the same, in their order', async () => {
    const texts = [prompt, 'class Tree:\n', 'import '];
    const ids = texts.map((text) => tokenizer.encode(text));
    const textsOf = async (prompt: OpenAI.CompletionCreateParams['prompt']) =>
      (await client.completions.create({ ...greedy, prompt })).choices.map(({ text }) => text);
    const expected = [];
    for (const one of ids) expected.push((await alone(one)).text);
    expect(await textsOf(texts)).toEqual(expected);
    expect(await textsOf(ids)).toEqual(expected);
    expect(await textsOf(ids[1])).toEqual([expected[1]]);
  });

  test('of a seed are drawn alike, n of them each by its own', async () => {
    const sampled = { ...greedy, temperature: 0.9, top_p: 0.9, seed: 7, n: 3 };
    const textsOf = async (keys: OpenAI.CompletionCreateParamsNonStreaming) =>
      (await client.completions.create(keys)).choices.map(({ text }) => text);
    const three = await textsOf(sampled);
    expect(new Set(three).size).toBe(3);
    expect(await textsOf({ ...sampled, prompt: ['class A:', prompt] })).toEqual(
      expect.arrayContaining(three),
    );
    expect(await textsOf({ ...sampled, n: 1, seed: 9 })).toEqual([three[2]]);
    const ids = tokenizer.encode(prompt);
    expect(three[1]).toBe((await alone(ids, { temperature: 0.9, topP: 0.9, seed: 8 })).text);
    const unseeded = { ...sampled, seed: null };
    expect(await textsOf(unseeded)).not.toEqual(await textsOf(unseeded));
  });

  test('end before a stop text, and where the model ends them', async () => {
    const whole = (await client.completions.create(greedy)).choices[0].text;
    const stop = whole.slice(9, 12);
    const { choices } = await client.completions.create({ ...greedy, stop: ['never this', stop] });
    expect(choices[0]).toMatchObject({ text: whole.slice(0, whole.indexOf(stop)), finish_reason: 'stop' });
    const eos = micro.model.config.eosIds[0];
    const ended = await client.completions.create({ ...greedy, logit_bias: { [eos]: 100 }, logprobs: 0 });
    expect(ended.choices[0]).toMatchObject({ text: '', finish_reason: 'stop' });
    expect(ended.choices[0].logprobs?.tokens).toEqual(['</s>']);
    expect(ended.usage?.completion_tokens).toBe(1);
  });

  test('that are streamed are the same, part by part', async () => {
    const keys = {
      ...greedy,
      prompt: [prompt, 'class Tree:\n'],
      n: 2,
      seed: 1,
      temperature: 0.7,
      logprobs: 1,
    };
    const whole = await client.completions.create(keys);
    const stream_options = { include_usage: true };
    const stream = await client.completions.create({ ...keys, stream: true, stream_options });
    const parts = whole.choices.map(() => ({ text: '', tokens: [] as string[], finish: '', events: 0 }));
    let usage: unknown;
    for await (const chunk of stream) {
      if (chunk.usage) usage = chunk.usage;
      for (const { index, text, logprobs, finish_reason } of chunk.choices) {
        parts[index].text += text;
        parts[index].events++;
        parts[index].tokens.push(...(logprobs?.tokens ?? []));
        parts[index].finish += finish_reason ?? '';
      }
    }
    expect(usage).toEqual(whole.usage);
    for (const [i, { text, tokens, finish, events }] of parts.entries()) {
      const { logprobs, ...choice } = whole.choices[i];
      expect({ text, tokens, finish }).toEqual({
        text: choice.text,
        tokens: logprobs?.tokens,
        finish: choice.finish_reason,
      });
      expect(events).toBeGreaterThan(5);
    }
  });

  test('that are aborted end at once', async () => {
    const { stats } = micro.backend;
    const before = stats.dispatches;
    await client.completions.create(greedy);
    const text = stats.dispatches - before;
    const stream = await client.completions.create({ ...greedy, max_tokens: 900, stream: true });
    for await (const _ of stream) break;
    const aborted = stats.dispatches;
    while (server.texts > 0) await new Promise((later) => setTimeout(later, 5));
    expect(text).toBeGreaterThan(0);
    expect(stats.dispatches - aborted).toBeLessThan(text);
  });

  test('of an adapter are its own', async () => {
    const own = await client.completions.create({ ...greedy, model: 'contrary' });
    expect(own.model).toBe('contrary');
    expect(own.choices[0].text).not.toBe((await client.completions.create(greedy)).choices[0].text);
  });

  test('may be echoed', async () => {
    const { text } = (await client.completions.create(greedy)).choices[0];
    for (const echoed of [prompt, tokenizer.encode(prompt)]) {
      const { choices } = await client.completions.create({ ...greedy, prompt: echoed, echo: true });
      expect(choices[0].text).toBe(prompt + text);
    }
    const stream = await client.completions.create({ ...greedy, echo: true, stream: true });
    const parts = [];
    for await (const { choices } of stream) parts.push(choices[0].text);
    expect(parts[0]).toBe(prompt);
    expect(parts.join('')).toBe(prompt + text);
  });
});

describe('log-probabilities', () => {
  /** As lm-evaluation-harness reads them: of what follows the context, without the one new token. */
  async function scoreOf(context: readonly number[], continuation: readonly number[], max_tokens: number) {
    const { choices } = await client.completions.create({
      model: 'micro',
      prompt: [[...context, ...continuation]],
      temperature: 0,
      max_tokens,
      logprobs: 1,
      echo: true,
      seed: 1234,
    });
    const { token_logprobs, top_logprobs } = choices[0].logprobs!;
    const end = max_tokens === 0 ? undefined : -1;
    const own = token_logprobs!.slice(context.length, end);
    const top = top_logprobs!.slice(context.length, end);
    return {
      sum: own.reduce((total, x) => total + x, 0),
      isGreedy: own.every((x, i) => x === Math.max(...Object.values(top[i]))),
      count: own.length,
    };
  }

  test.each([0, 1])('of a prompt are what an evaluation harness asks for, with %i new tokens', async (n) => {
    const context = tokenizer.encode(prompt);
    const { ids } = await alone(context);
    const { choices } = await client.completions.create({ ...greedy, logprobs: 1 });
    const decoded = choices[0].logprobs!.token_logprobs!.reduce((total, x) => total + x, 0);
    const likely = await scoreOf(context, ids, n);
    expect(likely).toMatchObject({ isGreedy: true, count: 24 });
    expect(likely.sum).toBeCloseTo(decoded, 2);
    const unlikely = await scoreOf(context, ids.toReversed(), n);
    expect(unlikely.isGreedy).toBe(false);
    expect(unlikely.sum).toBeLessThan(likely.sum - 10);
  });

  test('stand beside their tokens, and these in the text', async () => {
    const { choices } = await client.completions.create({ ...greedy, echo: true, logprobs: 3 });
    const { text, logprobs } = choices[0];
    const { tokens, token_logprobs, top_logprobs, text_offset } = logprobs!;
    expect(tokens![0]).toBe('<s>');
    expect([token_logprobs![0], top_logprobs![0]]).toEqual([null, null]);
    for (const [i, token] of tokens!.entries()) {
      if (i === 0) continue;
      const end = text_offset![i + 1] ?? text.length;
      expect(token.trim()).toBe(text.slice(text_offset![i], end).trim());
      expect(top_logprobs![i][token]).toBe(token_logprobs![i]);
      expect([3, 4]).toContain(Object.keys(top_logprobs![i]).length);
    }
  });
});

describe('chats', () => {
  const messages = [
    { role: 'system', content: 'be brief' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'def add(a, ' },
        { type: 'text', text: 'b):' },
      ],
    },
  ] satisfies OpenAI.ChatCompletionMessageParam[];
  const keys = { model: 'micro', messages, temperature: 0, max_completion_tokens: 12 };

  test('go on as the template writes them', async () => {
    const ids = tokenizer.encode('<s># be brief\ndef add(a, b):\n', { bos: false });
    const { text } = await alone(ids, { maxNewTokens: 12 });
    const { choices, usage, object } = await client.chat.completions.create(keys);
    expect(object).toBe('chat.completion');
    expect(choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: null,
        finish_reason: 'length',
      },
    ]);
    expect(usage).toMatchObject({ prompt_tokens: ids.length, completion_tokens: 12 });
    const [system, user] = messages;
    const renamed = await client.chat.completions.create({
      ...keys,
      messages: [{ ...system, role: 'developer' }, user],
    });
    expect(renamed.choices[0].message.content).toBe(text);
  });

  test('are streamed, n of them, with log-probabilities', async () => {
    const asked = { ...keys, n: 2, temperature: 1, seed: 3, logprobs: true, top_logprobs: 2 };
    const whole = await client.chat.completions.create(asked);
    const runner = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
    const { choices, usage } = await runner.finalChatCompletion();
    expect(usage).toEqual(whole.usage);
    for (const { index, message, logprobs, finish_reason } of choices) {
      const expected = whole.choices[index];
      expect(message).toMatchObject({ role: 'assistant', content: expected.message.content });
      expect(finish_reason).toBe(expected.finish_reason);
      expect(logprobs?.content).toEqual(expected.logprobs?.content);
    }
    for (const { token, bytes, top_logprobs } of whole.choices[0].logprobs!.content!) {
      expect(Buffer.from(bytes!).toString()).toBe(token);
      expect(top_logprobs).toHaveLength(2);
    }
  });

  test('take the rest of the context where no length is given', async () => {
    const { choices, usage } = await client.chat.completions.create({
      ...keys,
      max_completion_tokens: null,
      stop: '\n\n\n',
      messages: [{ role: 'user', content: 'x = 1 '.repeat(240) }],
    });
    const { finish_reason } = choices[0];
    expect(finish_reason === 'length').toBe(usage!.total_tokens === 1024);
  });
});
