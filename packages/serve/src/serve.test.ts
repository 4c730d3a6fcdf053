import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { DeviceError } from '@flex/base';
import { type Decoder, openInfill, type Tokenizer } from '@flex/llama';
import { OutOfMemoryError } from '@flex/tensor';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tokenizer } from './testing/micro.ts';
import { scriptedDecoder } from './testing/scripted-decoder.ts';
import {
  type Asked,
  ask,
  askAndIgnore,
  connectTo,
  open,
  scripted,
  until,
} from './testing/scripted-server.ts';

// Who may ask, what one may ask for, and what becomes of answers that nobody takes: with texts of a script.

/** A tokenizer that has StarCoder's tokens for infilling. */
const marks = ['<fim_prefix>', '<fim_suffix>', '<fim_middle>'];
const infilling: Tokenizer = {
  ...tokenizer,
  idOf: (name) => (marks.includes(name) ? 2000 + marks.indexOf(name) : tokenizer.idOf(name)),
};

const body = { model: 'tuned', prompt: 'x', max_tokens: 3 };
/** A list more deeply nested than JSON can be written. */
const nested = '['.repeat(100_000) + ']'.repeat(100_000);
const chat = { model: 'tuned', messages: [{ role: 'user', content: 'x' }], max_tokens: 3 };

describe('a request that is wrong is told so in one line, by its key:', () => {
  test.each<[string, object, number, string | null, RegExp]>([
    ['no model', { model: undefined }, 400, 'model', /^model is missing; it must be a text$/],
    ['another', { model: 'tune' }, 404, 'model', /^there is no model "tune"; did you mean tuned\?$/],
    ['key', { max_token: 3 }, 400, 'max_token', /^max_token is not a key; did you mean max_tokens\?$/],
    ['best_of', { best_of: 3 }, 400, 'best_of', /^best_of is not supported; ask for n samples/],
    [
      'temperature',
      { temperature: 3 },
      400,
      'temperature',
      /^temperature must be a number from 0 to 2, got 3$/,
    ],
    ['top_p', { top_p: 0 }, 400, 'top_p', /^top_p must be a number above 0 and at most 1, got 0$/],
    ['n', { n: 0 }, 400, 'n', /^n must be a whole number from 1 to 128, got 0$/],
    ['prompt', { prompt: [] }, 400, 'prompt', /^prompt must be a text, a list of texts, a list of token ids/],
    ['ids', { prompt: [1, -1] }, 400, 'prompt', /^prompt must be a text/],
    ['mixed', { prompt: ['a', 1] }, 400, 'prompt', /^prompt must be a text/],
    ['stop', { stop: '' }, 400, 'stop', /^stop must be a text, or a list of at most 32 texts/],
    ['stops', { stop: Array(33).fill('a') }, 400, 'stop', /^stop must be/],
    ['logprobs', { logprobs: 21 }, 400, 'logprobs', /^logprobs must be a whole number from 0 to 20, got 21$/],
    [
      'bias',
      { logit_bias: { a: 1 } },
      400,
      'logit_bias',
      /^logit_bias must be an object of at most 16384 token/,
    ],
    ['bias range', { logit_bias: { 1: 101 } }, 400, 'logit_bias', /^logit_bias .* to 100, got \{"1":101\}$/],
    ['bias', { logit_bias: { 5: 101 } }, 400, 'logit_bias', /^logit_bias/],
    [
      'biases',
      { logit_bias: Object.fromEntries(Array.from({ length: 16_385 }, (_, id) => [id, 1])) },
      400,
      'logit_bias',
      /^logit_bias must be an object of at most 16384 token ids/,
    ],
    ['list', { user: Array(4097).fill(1) }, 400, 'user', /^user must have at most 4096 elements and keys/],
    [
      'lists',
      { stop: Array(64).fill(Array(64).fill('a')) },
      400,
      'stop',
      /^stop must have at most 4096 elem/,
    ],
    ['long model', { model: 'm'.repeat(1e5) }, 404, 'model', /^there is no model "m+…"; there is org\/micro/],
    ['length', { max_tokens: 0 }, 400, 'max_tokens', /only with echo and logprobs/],
    [
      'length',
      { max_tokens: 999 },
      400,
      null,
      /2 tokens and 999 new ones.*1000 of a text; lower max_tokens to 998$/,
    ],
    [
      'prompt',
      { prompt: 'a b '.repeat(900) },
      400,
      null,
      /are more than the 1000 of a text; shorten the prompt$/,
    ],
    [
      'prompt',
      { prompt: 'a'.repeat(9e5) },
      400,
      null,
      /^the prompt's 900000 bytes are more than the \d+ of 1000 tokens; shorten the prompt$/,
    ],
    [
      'too many',
      { prompt: Array(30).fill('x'), n: 128 },
      400,
      null,
      /may ask for 1026 texts at once.* for 3840$/,
    ],
  ])('%s %j', async (_, changes, status, param, words) => {
    const { server } = await scripted();
    const { json, ...answer } = await ask(server, { body: { ...body, ...changes } });
    expect(answer.status).toBe(status);
    expect(json.error).toMatchObject({ param, message: expect.stringMatching(words) });
    expect(Object.keys(json.error)).toEqual(['message', 'type', 'param', 'code']);
    expect(server.texts).toBe(0);
  });

  test.each<[object, string | null, RegExp]>([
    [{ messages: [] }, 'messages', /^messages/],
    [{ messages: Array(4097).fill({}) }, 'messages', /^messages must have at most 4096 elements and keys/],
    [
      { messages: [{ role: 'user', content: 'a'.repeat(9e5) }] },
      null,
      /^the prompt's 90000\d bytes are more than the \d+ of 1000 tokens; shorten the prompt$/,
    ],
    [{ messages: [{ role: 'user' }] }, 'messages', /^messages\.0\.content is missing; it must be a text, or/],
    [
      { messages: [{ role: 'tool', content: 'x' }] },
      'messages',
      /^messages\.0\.role must be system, developer/,
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: 'x' }] }] },
      'messages',
      /^messages\.0\.content/,
    ],
    [{ tools: [] }, 'tools', /^tools is not supported; no tools are called here/],
    [{ response_format: { type: 'json_object' } }, 'response_format', /^response_format\.type must be text/],
    [{ top_logprobs: 2 }, 'top_logprobs', /needs logprobs/],
    [{ suffix: 'x' }, 'suffix', /^suffix is not a key/],
  ])('a chat with %j', async (changes, param, words) => {
    const { server } = await scripted();
    const { status, json } = await ask(server, {
      path: '/v1/chat/completions',
      body: { ...chat, ...changes },
    });
    expect(json.error).toMatchObject({ param, message: expect.stringMatching(words) });
    expect(status).toBe(400);
  });

  test('a chat with a model that has no template', async () => {
    const { server } = await scripted({}, {}, { chatTemplate: null });
    const { status, json } = await ask(server, { path: '/v1/chat/completions', body: chat });
    expect([status, json.error.message]).toEqual([
      400,
      'tuned has no chat template; ask for /v1/completions',
    ]);
  });

  test.each<[Asked, number, RegExp]>([
    [{ body: '{"model"' }, 400, /^the body is not JSON: /],
    [{ body: Buffer.from([0x22, 0xff, 0x22]) }, 400, /^the body is not JSON: .*encoded/],
    [{ body: '[]' }, 400, /^the body must be a JSON object$/],
    [{ body: 'null' }, 400, /^the body must be a JSON object$/],
    [{ body: '['.repeat(64) }, 400, /^the body is not JSON/],
    [
      { body: `{"model":"tuned","prompt":${nested}}` },
      400,
      /^the body must be nested at most 64 deep, and is more so$/,
    ],
    [
      { body: `{"model":"tuned","prompt":"x","n":${'['.repeat(62)}${']'.repeat(62)}}` },
      400,
      /^n must be a whole number .* got \[{57}\.\.\.$/,
    ],
    [{ body: { ...body, user: ['\\"[{'.repeat(99)] } }, 400, /^user must be a text, got /],
    [
      { body: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, 1])) },
      400,
      /^the body must have at most 64 keys, got 65$/,
    ],
    // Never read as a value, so it need not be JSON.
    [
      { body: `{"user":{${'"k":1,'.repeat(32_768)}` },
      400,
      /^the body must have at most 32768 keys in all its objects$/,
    ],
    [{ body: { ...body, user: [':'.repeat(32_769)] } }, 400, /^user must be a text, got /],
    [
      { body: { ...body, ['k'.repeat(65)]: 1 } },
      400,
      /^keys must have at most 64 characters; one that begins with "k{20}" has more$/,
    ],
    [{ body: { ...body, user: { ['k'.repeat(65)]: 1 } } }, 400, /^keys must have at most 64 characters/],
    [{ body, headers: { 'Content-Type': 'text/plain' } }, 415, /^Content-Type must be application\/json/],
    [
      { body, headers: { 'Content-Encoding': 'gzip' } },
      415,
      /^Content-Encoding must be identity, got "gzip"$/,
    ],
    [{ method: 'GET' }, 405, /^only POST is answered here$/],
    [{ path: '/v1/models', method: 'DELETE' }, 405, /^only GET is answered here$/],
    [{ path: '/v1/models/none' }, 404, /^there is no such model/],
    [{ path: '/v1/%ff' }, 404, /^nothing is here; there is .*\/v1\/completions/],
    [{ path: '/' }, 404, /^nothing is here/],
  ])('%j', async (asked, expected, words) => {
    const { server } = await scripted();
    const { status, json } = await ask(server, asked);
    expect(json.error.message).toMatch(words);
    expect(status).toBe(expected);
  });

  test('a suffix that the model cannot take', async () => {
    const { server } = await scripted();
    const none = await ask(server, { body: { ...body, suffix: 'b' } });
    expect([none.status, none.json.error.message]).toEqual([
      400,
      expect.stringMatching(/^the tokenizer has no tokens for infilling/),
    ]);
    const { server: other } = await scripted({}, {}, { tokenizer: infilling });
    for (const [changes, words] of [
      [{ prompt: [1, 2] }, 'a suffix needs a prompt that is a text'],
      [{ echo: true }, 'echo is not possible with a suffix'],
    ] as const) {
      const { status, json } = await ask(other, { body: { ...body, suffix: 'b', ...changes } });
      expect([status, json.error.message]).toEqual([400, words]);
    }
  });

  test('what is null counts as left out', async () => {
    const { server } = await scripted();
    const nothing = { stop: null, seed: null, logprobs: null, suffix: null, best_of: null, stream: null };
    expect((await ask(server, { body: { ...body, ...nothing } })).status).toBe(200);
  });

  test('whatever it is: an answer or an error of the client, and nothing is left of it', async () => {
    const { server } = await scripted({ interval: 0 });
    const value = fc.jsonValue({ maxDepth: 3 });
    const odd = fc.oneof(value, fc.constantFrom(-1, 0, 1e308, 2 ** 53, '', [], {}, [[]], true, '__proto__'));
    const keys = ['prompt', 'messages', 'max_tokens', 'n', 'stop', 'stream', 'stream_options', 'logit_bias'];
    const more = ['logprobs', 'echo', 'seed', 'temperature', 'top_p', 'user', '__proto__', 'constructor'];
    const changes = fc.dictionary(fc.constantFrom(...keys, ...more), odd, {
      maxKeys: 3,
      noNullPrototype: true,
    });
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.oneof(changes, fc.object()), async (isChat, changed) => {
        const path = isChat ? '/v1/chat/completions' : '/v1/completions';
        const whole = JSON.stringify({ ...(isChat ? chat : body), ...changed });
        const { status, json } = await ask(server, { path, body: whole });
        if (status !== 200) expect(json.error.message).toMatch(/^.+$/);
        expect([200, 400]).toContain(status);
      }),
      { numRuns: 150 },
    );
    expect(server.texts).toBe(0);
  });
});

test('a prompt with a suffix asks for what stands between', async () => {
  const { server, decoder } = await scripted({}, {}, { tokenizer: infilling });
  const { json } = await ask(server, { body: { ...body, prompt: ['a', 'b'], suffix: 'c' } });
  expect(json.choices).toMatchObject([{ text: 'xxx' }, { text: 'xxx' }]);
  const { prompt, endIds } = openInfill(infilling);
  expect(decoder.begun.map((request) => request.prompt)).toEqual([prompt('a', 'c'), prompt('b', 'c')]);
  expect(decoder.begun.map((request) => request.endIds)).toEqual([endIds, endIds]);
});

describe('who may ask', () => {
  test('calls this machine by its own name', async () => {
    const { server } = await scripted();
    for (const host of ['evil.example', '127.0.0.1.evil.example:80', '0.0.0.0', 'x'])
      expect((await ask(server, { body, headers: { host } })).status).toBe(403);
    for (const host of ['localhost:99', '127.0.0.1', '[::1]:8000'])
      expect((await ask(server, { body, headers: { host } })).status).toBe(200);
  });

  test('brings the key, where there is one', async () => {
    const { server } = await scripted({}, { key: 'open sesame' });
    const refused = ['', 'Bearer', 'Bearer open', 'Bearer open sesame ', 'open sesame', 'Basic open sesame'];
    for (const authorization of refused) {
      const { status, json } = await ask(server, { body, headers: { authorization: `${authorization}x` } });
      expect(status).toBe(401);
      expect(json.error).toMatchObject({ code: 'invalid_api_key', type: 'authentication_error' });
    }
    expect((await ask(server, { path: '/v1/models' })).status).toBe(401);
    expect((await ask(server, { body, headers: { authorization: 'Bearer open sesame' } })).status).toBe(200);
    expect((await ask(server, { path: '/health' })).json).toEqual({ status: 'ok', texts: 0 });
  });

  test('is on this machine; another interface needs a key', async () => {
    const { server } = await scripted();
    const port = Number(new URL(server.address).port);
    const others = Object.values(networkInterfaces()).flatMap((list = []) =>
      list.filter(({ internal, scopeid }) => !internal && !scopeid).map((one) => one.address),
    );
    for (const host of [...others, '127.0.0.2']) {
      const isOpen = await new Promise((resolve) => {
        const socket = connect({ host, port }, () => resolve(true)).on('error', () => resolve(false));
        open.push({ close: () => socket.destroy() });
      });
      expect({ host, isOpen }).toEqual({ host, isOpen: false });
    }
    await expect(scripted({}, { host: '0.0.0.0' })).rejects.toThrow(/host 0\.0\.0\.0: .* a key is needed/);
    await scripted({}, { host: '0.0.0.0', key: 'x' });
    await expect(scripted({}, { port })).rejects.toThrow(
      `port ${port}: is taken; give another --port, or none`,
    );
  });
});

describe('answers that nobody takes', () => {
  const long = { ...body, max_tokens: 900 };

  test('free their slots when the connection ends, whether they were running or waiting', async () => {
    const { server, decoder } = await scripted({ interval: 20 });
    const sockets = Array.from({ length: 6 }, (_, i) =>
      askAndIgnore(server, { ...long, stream: i % 2 === 0 }),
    );
    await until(() => server.texts === 6 && decoder.busy === 2);
    for (const socket of sockets) socket.destroy();
    await until(() => server.texts === 0 && decoder.busy === 0 && decoder.waiting === 0);
    expect((await ask(server, { body })).status).toBe(200);
  });

  test('free their slots, too, where one connection asked for several', async () => {
    const { server, decoder } = await scripted({ interval: 20 });
    const socket = askAndIgnore(server, { ...long, stream: true }, 20);
    await until(() => server.texts === 20 && decoder.busy === 2);
    socket.destroy();
    await until(() => server.texts === 0 && decoder.busy === 0 && decoder.waiting === 0);
  });

  test('are ended when more is unsent than may be', async () => {
    const piece = 'x'.repeat(2 ** 18);
    const { server, decoder } = await scripted({ piece }, { limits: { unsentBytes: 2 ** 20 } });
    const socket = askAndIgnore(server, { ...long, stream: true });
    await until(() => decoder.busy === 1);
    await until(() => decoder.busy === 0);
    expect(server.texts).toBe(0);
    expect(socket.destroyed).toBe(false);
    const { content } = await ask(server, { body: { ...body, stream: true } });
    expect(content).toMatch(/data: \[DONE\]\n\n$/);
  });

  test('are ended when all is told and their reader stalls', async () => {
    const piece = 'x'.repeat(2 ** 23);
    const { server } = await scripted({ piece }, { limits: { stallSeconds: 0.2 } });
    const socket = askAndIgnore(server, body);
    await until(() => server.texts === 1);
    await until(() => server.texts === 0);
    await wait(500);
    let bytes = 0;
    socket.on('data', (chunk) => (bytes += chunk.length)).resume();
    await new Promise((closed) => socket.on('close', closed));
    expect(bytes).toBeLessThan(3 * piece.length);
  });

  test('end with the first text that fails, all texts of the request', async () => {
    const decoder = scriptedDecoder({ slots: 4, interval: 20 });
    const submit: Decoder['submit'] = async (request, options) => {
      if (decoder.busy === 2) throw new Error('a logit is NaN');
      return decoder.submit(request, options);
    };
    const { server } = await scripted({}, {}, { decoder: { ...decoder, submit }, slots: 4 });
    const { status } = await ask(server, { body: { ...long, n: 3 } });
    expect(status).toBe(500);
    await until(() => decoder.busy === 0);
    expect(server.texts).toBe(0);
  });
});

describe('a server that is asked to end', () => {
  test('finishes what it does, and refuses what comes', async () => {
    const { server, decoder } = await scripted({ interval: 10 });
    const running = ask(server, { body: { ...body, n: 4 } });
    await until(() => decoder.busy === 2);
    const closed = server.close(10_000);
    await expect(ask(server, { body })).rejects.toThrow(/ECONNREFUSED/);
    expect((await running).json.choices).toHaveLength(4);
    await closed;
    expect(decoder.busy).toBe(0);
  });

  test('does not wait for connections that ask nothing', async () => {
    const { server, decoder } = await scripted({ interval: 1 });
    const idle = connectTo(server);
    const running = ask(server, { body: { ...body, max_tokens: 20 } });
    await until(() => decoder.busy === 1);
    const ended = new Promise((end) => idle.on('close', end));
    await server.close(2 ** 30);
    expect((await running).status).toBe(200);
    await ended;
  });

  test('ends what does not end in time, in words', async () => {
    const { server, decoder } = await scripted({ interval: 10 });
    const running = ask(server, { body: { ...body, max_tokens: 900, n: 4 } });
    await until(() => decoder.busy === 2);
    await server.close(20);
    const { status, json } = await running;
    expect([status, json.error.message]).toEqual([503, 'the server is shutting down']);
    await until(() => decoder.busy === 0);
  });
});

const failing = (error: Error): Decoder => ({ submit: () => Promise.reject(error), close: async () => {} });

test.each([
  [new OutOfMemoryError('no memory'), 503, 'device_error'],
  [new Error('a logit is NaN'), 500, null],
])('%s is told as what it is, and the server goes on', async (error, expected, code) => {
  const { server } = await scripted({}, {}, { decoder: failing(error) });
  for (const stream of [true, false]) {
    const { status, json } = await ask(server, { body: { ...body, n: 5, stream } });
    expect({ status, ...json.error }).toMatchObject({ status: expected, code, message: error.message });
  }
  expect(server.texts).toBe(0);
  expect((await ask(server, { path: '/health' })).status).toBe(200);
});

test('a device that is lost is told to every request from then on, and to who serves', async () => {
  const error = new DeviceError('the device is lost');
  const { server } = await scripted({}, {}, { decoder: failing(error) });
  expect((await ask(server, { path: '/health' })).status).toBe(200);
  for (const asked of [{ body: { ...body, n: 5 } }, { body }, { path: '/health' }, { path: '/v1/models' }]) {
    const { status, json } = await ask(server, asked);
    expect({ status, ...json.error }).toMatchObject({
      status: 503,
      code: 'device_error',
      message: error.message,
    });
  }
  expect(await server.lost).toBe(error);
});
