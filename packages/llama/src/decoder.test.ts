import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@flex/base';
import {
  type Backend,
  mul,
  OutOfMemoryError,
  openReference,
  openWasm,
  scope,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { describeEachBackend, deviceBackends } from '@flex/tensor/testing';
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Completion } from './continuation.ts';
import { type Decoder, type GenerateRequest, newDecoder } from './decoder.ts';
import { generate } from './generate.ts';
import { logSoftmax } from './log-probabilities.ts';
import { type CausalLM, forward, loadModel, logits } from './model.ts';
import { pieceTokens } from './slots.ts';
import { letters } from './testing/letters.ts';
import { writeTinyModel } from './testing/tiny-model.ts';

const dir = mkdtempSync(join(tmpdir(), 'flex-decoder-'));
writeTinyModel(dir, { max_position_embeddings: 512 });
afterAll(() => rmSync(dir, { recursive: true }));

let backend: Backend;
let model: CausalLM;
let adapters: Map<string, CausalLM>;
beforeEach(async () => {
  backend = openWasm({ threads: 1 });
  model = await loadModel(backend, dir, { dtype: 'f32' });
  adapters = adaptersOf(model);
});
afterEach(async () => {
  model.dispose();
  await backend.close();
});

function adaptersOf(model: CausalLM): Map<string, CausalLM> {
  const scaled = (factor: number): CausalLM => ({
    ...model,
    linear: (x, path) => scope(() => mul(model.linear(x, path), factor)),
  });
  return new Map([
    ['half', scaled(0.5)],
    ['double', scaled(2)],
  ]);
}

const id = fc.integer({ min: 0, max: 9 });
/** Read in two pieces. */
const long = Array.from({ length: pieceTokens + 70 }, (_, i) => (i * i) % 10);
/** Few prompts, so that many are the same. */
const request: fc.Arbitrary<GenerateRequest> = fc.record(
  {
    prompt: fc.constantFrom([1], [1, 2, 3], [4, 5, 6, 7, 8], long),
    maxNewTokens: fc.integer({ min: 1, max: 6 }),
    adapter: fc.constantFrom('half', 'double'),
    temperature: fc.constantFrom(0.7, 1.5),
    topK: fc.integer({ min: 1, max: 9 }),
    topP: fc.constantFrom(0.5, 0.9),
    minP: fc.constantFrom(0.05, 0.3),
    repetitionPenalty: fc.constantFrom(0.8, 1.4),
    frequencyPenalty: fc.constantFrom(-0.5, 0.7),
    presencePenalty: fc.constantFrom(-0.4, 0.6),
    logitBias: fc
      .dictionary(id.map(String), fc.integer({ min: -3, max: 3 }))
      .map((biases) => new Map(Object.entries(biases).map(([id, bias]) => [Number(id), bias]))),
    seed: fc.nat(),
    stop: fc.constantFrom(['b'], ['cd', 'a']),
    logprobs: fc.integer({ min: 0, max: 3 }),
    promptLogprobs: fc.integer({ min: 0, max: 3 }),
  },
  { requiredKeys: ['prompt', 'maxNewTokens'] },
);

const isLong = process.env.FLEX_LONG_TESTS === '1';

describe('a text is the same, to the last bit, alone and among others, whenever they come', () => {
  const scheduled = fc.array(fc.record({ request, turns: fc.integer({ min: 0, max: 4 }) }), {
    minLength: 1,
    maxLength: 7,
  });
  /** Angles that depend on a text's own length, from its seventh token on. */
  const dynamic = { max_position_embeddings: 6, rope_scaling: { rope_type: 'dynamic', factor: 2 } };
  writeTinyModel(join(dir, 'dynamic'), dynamic);
  describeEachBackend(
    (device: () => Backend) => {
      test.each(['.', 'dynamic'])('and whatever they ask: %s', async (name) => {
        const model = await loadModel(device(), join(dir, name), { dtype: 'f32' });
        const adapters = adaptersOf(model);
        const submitted = async (all: readonly { request: GenerateRequest; turns: number }[]) => {
          const decoder = newDecoder(model, 3, { adapters });
          const texts = all.map(async ({ request, turns }) => {
            for (let i = 0; i < turns; i++) await new Promise(setImmediate);
            return decoder.submit({ ...request, tokenizer: letters });
          });
          return await Promise.all(texts).finally(decoder.close);
        };
        await fc.assert(
          fc.asyncProperty(scheduled, async (all) => {
            const alone: Completion[] = [];
            for (const each of all) alone.push(...(await submitted([each])));
            expect(await submitted(all)).toEqual(alone);
          }),
          { numRuns: isLong ? 100 : 5 },
        );
        model.dispose();
      });
    },
    deviceBackends.filter(({ label }) => label !== 'gpu.js cpu'),
  );
});

test('a prompt that comes several times is computed once, unless its log-probabilities are asked for', async () => {
  const rows: number[] = [];
  const embed = model.embed;
  const counted = (ids: Tensor) => {
    rows.push(ids.shape[1]);
    return embed(ids);
  };
  const counting = newDecoder({ ...model, embed: counted }, 2);
  const prompt = [1, 2, 3, 4, 5];
  const prompts = async (more: Partial<GenerateRequest>) => {
    rows.length = 0;
    const texts = [0, 1, 2, 3, 4].map((seed) =>
      counting.submit({ prompt, maxNewTokens: 3, temperature: 1, seed, ...more }),
    );
    await Promise.all(texts);
    return rows.filter((t) => t === prompt.length).length;
  };
  expect(await prompts({})).toBe(1);
  expect(await prompts({ promptLogprobs: 0 })).toBe(5);
  await counting.close();
});

test('log-probabilities are those of softmax over the whole text, with the likeliest beside them', async () => {
  const decoder = newDecoder(model, 2);
  const prompt = [1, 2, 3, 4];
  const options = { prompt, maxNewTokens: 5, temperature: 2, repetitionPenalty: 1.7, logprobs: 3 };
  const told: unknown[] = [];
  const text = await decoder.submit(
    { ...options, promptLogprobs: 2 },
    { onToken: (...token) => told.push(token) },
  );
  const ids = [...prompt, ...text.ids];
  const rows = scope(() => logits(model, forward(model, integers(ids))));
  const values = Float32Array.from(await rows.data());
  rows.dispose();
  const all = [...text.promptLogprobs!, ...text.logprobs!];
  expect(all[0]).toBeNull();
  expect(all.length).toBe(ids.length);
  for (const [i, token] of [...all.entries()].slice(1)) {
    const expected = logSoftmax(values.subarray((i - 1) * 10, i * 10));
    const order = [...expected.keys()].sort((a, b) => expected[b] - expected[a]);
    expect(token!.id).toBe(ids[i]);
    expect(token!.logprob).toBeCloseTo(expected[ids[i]], 4);
    const count = i < prompt.length ? 2 : 3;
    expect(token!.alternatives.map(({ id }) => id)).toEqual(order.slice(0, count));
    for (const { id, logprob } of token!.alternatives) expect(logprob).toBeCloseTo(expected[id], 4);
  }
  expect(told).toEqual(text.ids.map((id, i) => [id, text.logprobs![i]]));
  expect(await decoder.submit({ ...options, maxNewTokens: 0, promptLogprobs: 2 })).toEqual({
    ...{ ids: [], text: '', finish: 'length', logprobs: [] },
    promptLogprobs: text.promptLogprobs,
  });
  await decoder.close();
});

test('tokens are told before the text that they make certain, which ends before a stop text', async () => {
  const told: string[] = [];
  const decoder = newDecoder(model, 1);
  const greedy = await decoder.submit({ prompt: [1], maxNewTokens: 6, tokenizer: letters });
  const stop = greedy.text.slice(3, 5);
  const at = greedy.text.indexOf(stop);
  const { text, finish } = await decoder.submit(
    { prompt: [1], maxNewTokens: 6, tokenizer: letters, stop: [stop] },
    { onToken: (id) => told.push(letters.decode([id]).toUpperCase()), onText: (piece) => told.push(piece) },
  );
  expect([text, finish]).toEqual([greedy.text.slice(0, at), 'stop']);
  expect(told.filter((piece) => /[A-Z]/.test(piece)).join('')).toBe(
    greedy.text.slice(0, at + stop.length).toUpperCase(),
  );
  const order = told.map((piece) => (/[A-Z]/.test(piece) ? 'token' : 'text'));
  expect(order.indexOf('token')).toBeLessThan(order.indexOf('text'));
  await decoder.close();
});

test('a decoder that is closed while it computes a prompt tells no token of it', async () => {
  const decoder = newDecoder(model, 1);
  const told: number[] = [];
  const text = decoder.submit({ prompt: [1, 2], maxNewTokens: 3 }, { onToken: (id) => told.push(id) });
  const failed = expect(text).rejects.toThrow('the decoder is closed');
  await Promise.resolve(); // the prompt is on its way
  await decoder.close();
  await failed;
  expect(told).toEqual([]);
});

test('the program has its turn between two tokens, and an aborted text leaves its slot within one', async () => {
  // A device that never makes anybody wait.
  const busy = await loadModel(openReference(), dir, { dtype: 'f32' });
  const decoder = newDecoder(busy, 1);
  const controller = new AbortController();
  let tokens = 0;
  let turns = 0;
  const count = () => {
    turns++;
    if (turns < 5) setImmediate(count);
    else controller.abort(new Error('gone'));
  };
  setImmediate(count);
  const long = decoder.submit(
    { prompt: [1], maxNewTokens: 60 },
    { signal: controller.signal, onToken: () => tokens++ },
  );
  const next = decoder.submit({ prompt: [2], maxNewTokens: 1 });
  await expect(long).rejects.toThrow('gone');
  expect(tokens).toBeLessThanOrEqual(7);
  expect((await next).ids).toHaveLength(1);
  const waits = decoder.submit({ prompt: [1], maxNewTokens: 60 }).catch((error) => error.message);
  const aborted = AbortSignal.abort(new Error('too late'));
  await expect(decoder.submit({ prompt: [1], maxNewTokens: 1 }, { signal: aborted })).rejects.toThrow(
    'too late',
  );
  await decoder.close();
  expect(await waits).toBe('the decoder is closed');
  await expect(decoder.submit({ prompt: [1], maxNewTokens: 1 })).rejects.toThrow('the decoder is closed');
  busy.dispose();
});

test('a listener that throws ends its own text alone', async () => {
  const decoder = newDecoder(model, 2);
  const throwing = () => {
    throw new Error('a broken pipe');
  };
  const [broken, whole] = await Promise.allSettled([
    decoder.submit({ prompt: [1], maxNewTokens: 5 }, { onToken: throwing }),
    decoder.submit({ prompt: [1], maxNewTokens: 5 }),
  ]);
  expect(broken).toMatchObject({ status: 'rejected', reason: new Error('a broken pipe') });
  expect(whole.status).toBe('fulfilled');
  await decoder.close();
});

test('a prompt whose logits are not finite ends its own text alone', async () => {
  const nan = { ...model, embed: (ids: Tensor) => scope(() => mul(model.embed(ids), Number.NaN)) };
  const decoder = newDecoder(model, 2, { adapters: new Map([['nan', nan]]) });
  const [broken, whole] = await Promise.allSettled([
    decoder.submit({ prompt: [1, 2, 3], maxNewTokens: 0, promptLogprobs: 1, adapter: 'nan' }),
    decoder.submit({ prompt: [1], maxNewTokens: 5 }),
  ]);
  expect(broken).toMatchObject({
    status: 'rejected',
    reason: { message: expect.stringMatching(/^the logit of token 0 is NaN at token 2 of the prompt: /) },
  });
  expect(whole.status).toBe('fulfilled');
  await decoder.close();
});

test.each<[Partial<GenerateRequest>, string]>([
  [{ adapter: 'none' }, 'no adapter is called "none"; there are half, double'],
  [{ temperature: Number.NaN }, 'temperature must be a number of at least 0, got NaN'],
  [{ temperature: Infinity }, 'temperature must be a number of at least 0, got Infinity'],
  [{ topK: 0 }, 'top-k must be a whole number of at least 1, got 0'],
  [{ topP: 0 }, 'top-p must be in (0, 1], got 0'],
  [{ minP: 1.5 }, 'min-p must be in [0, 1], got 1.5'],
  [{ repetitionPenalty: 0 }, 'repetition-penalty must be a number above 0, got 0'],
  [{ frequencyPenalty: Number.NaN }, 'frequency-penalty must be a number, got NaN'],
  [{ presencePenalty: Infinity }, 'presence-penalty must be a number, got Infinity'],
  [{ logitBias: new Map([[10, 1]]) }, 'logit-bias: 10 is not in the vocabulary of 10 tokens'],
  [{ logitBias: new Map([[1, Number.NaN]]) }, 'logit-bias of token 1 must be a number, got NaN'],
  [{ logprobs: -1 }, 'logprobs must be a whole number of at least 0, got -1'],
  [{ promptLogprobs: 0.5 }, 'prompt-logprobs must be a whole number of at least 0, got 0.5'],
  [{ stop: ['a'] }, 'stop texts need the tokenizer'],
  [{ maxNewTokens: 0 }, 'max-new-tokens must be a whole number of at least 1, got 0'],
  [{ maxNewTokens: -1, promptLogprobs: 0 }, 'max-new-tokens must be a whole number of at least 0, got -1'],
])('%j is refused when it is submitted', async (options, message) => {
  const decoder = newDecoder(model, 2, { adapters });
  const refused = decoder.submit({ prompt: [1], maxNewTokens: 2, ...options });
  await expect(refused).rejects.toThrow(new ConfigError(message));
  await decoder.close();
});

test('adapters of another model are refused', async () => {
  const other = await loadModel(openReference(), dir, { dtype: 'f32' });
  expect(() => newDecoder(model, 1, { adapters: new Map([['other', other]]) })).toThrow(
    'adapter "other" is not on the weights of this model',
  );
  other.dispose();
});

test('every way of decoding gives its memory back', async () => {
  model.rope(1);
  await generate(model, [1], { maxNewTokens: 2 });
  const { liveBytes } = backend.stats;
  const decoder = newDecoder(model, 2, { adapters });
  const options = { prompt: [1, 2], maxNewTokens: 3, logprobs: 1, promptLogprobs: 1 };
  await Promise.all([undefined, 'half', 'double'].map((adapter) => decoder.submit({ ...options, adapter })));
  await decoder.close();
  await generate(model, [1, 2], { maxNewTokens: 5, numBeams: 3, temperature: 1, logprobs: 2 });
  expect(backend.stats.liveBytes).toBe(liveBytes);
});

function integers(ids: readonly number[]) {
  return tensor(backend, Int32Array.from(ids), [1, ids.length], 'i32');
}

test('a device that lacks memory once, wherever it does, leaves nothing wrong behind', async () => {
  let left = Number.POSITIVE_INFINITY;
  const scarce: Backend = {
    ...backend,
    run(...args) {
      if (--left === 0) throw new OutOfMemoryError('not so much');
      return backend.run(...args);
    },
  };
  const model = await loadModel(scarce, dir, { dtype: 'f32' });
  // The cache grows in the middle of the texts.
  const prompt = Array.from({ length: 62 }, (_, i) => i % 10);
  const requests = [prompt, prompt, [1, 2], prompt].map((prompt) => ({ prompt, maxNewTokens: 5 }));
  const all = (decoder: Decoder) => Promise.allSettled(requests.map((one) => decoder.submit(one)));
  const alone = newDecoder(model, 2);
  const expected = await all(alone);
  await alone.close();
  const { liveBytes } = scarce.stats;
  let failures = 0;
  for (let at = 1; ; at += process.env.FLEX_LONG_TESTS === '1' ? 1 : 17) {
    const decoder = newDecoder(model, 2);
    left = at;
    const first = await all(decoder);
    const wasMet = left <= 0;
    left = Number.POSITIVE_INFINITY;
    for (const [i, one] of first.entries()) {
      if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(OutOfMemoryError);
      else expect(one).toEqual(expected[i]);
    }
    expect({ at, again: await all(decoder) }).toEqual({ at, again: expected });
    await decoder.close();
    expect({ at, liveBytes: scarce.stats.liveBytes }).toEqual({ at, liveBytes });
    if (!wasMet) break;
    failures++;
  }
  expect(failures).toBeGreaterThan(20);
  model.dispose();
});
