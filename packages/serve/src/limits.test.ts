import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Tokenizer } from '@flex/llama';
import { describe, expect, test } from 'vitest';
import { tokenizer } from './testing/micro.ts';
import { ask, askAndIgnore, connectTo, scripted, until } from './testing/scripted-server.ts';

const body = { model: 'tuned', prompt: 'x', max_tokens: 3 };
const long = { ...body, max_tokens: 900 };

describe('limits', () => {
  test('of a body, whether it says its length or not', async () => {
    const { server } = await scripted({}, { limits: { bodyBytes: 200 } });
    const large = { ...body, prompt: 'x'.repeat(300) };
    const chunked = { 'Transfer-Encoding': 'chunked' };
    for (const headers of [{}, chunked]) {
      const { status, json } = await ask(server, { body: large, headers });
      expect([status, json.error.message]).toEqual([413, 'the body is longer than 200 bytes']);
    }
    expect((await ask(server, { body, headers: chunked })).status).toBe(200);
  });

  test('of a body, by what the slots hold', async () => {
    const { server } = await scripted({}, {}, { slots: 4, maxLength: 2 ** 14 });
    for (const [length, status] of [
      [2 ** 21, 413],
      [2 ** 21 - 2 ** 10, 400],
    ]) {
      const answer = await ask(server, { body: { model: 'x'.repeat(length) } });
      expect(answer.status).toBe(status);
    }
  });

  test('of texts, before any of them is made tokens', async () => {
    const encoded: string[] = [];
    const encode: Tokenizer['encode'] = (...args) => {
      encoded.push(args[0]);
      return tokenizer.encode(...args);
    };
    const { server } = await scripted({}, {}, { tokenizer: { ...tokenizer, encode } });
    for (const prompt of [Array(1027).fill('x'), 'a'.repeat(9e5)])
      expect((await ask(server, { body: { ...body, prompt } })).status).toBe(400);
    expect(encoded).toEqual([]);
  });

  test('of connections: a new one ends the oldest that waits for no answer', async () => {
    const { server, decoder } = await scripted({ interval: 100 }, { limits: { connections: 4 } });
    const closed: string[] = [];
    const named = (name: string, socket: Socket) => socket.on('close', () => closed.push(name));
    named('asks', askAndIgnore(server, long)).resume();
    await until(() => decoder.busy === 1);
    const half = named('half', connectTo(server)).resume();
    half.write('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n');
    half.write('Content-Length: 9\r\n\r\n{');
    await once(half, 'connect');
    for (const name of ['idle', 'later']) await once(named(name, connectTo(server)).resume(), 'connect');
    // Each of these is one too many, and stays.
    const order = ['half', 'idle', 'later', 'answered half'];
    for (const ended of order) {
      const socket = connectTo(server);
      named(`answered ${ended}`, socket);
      socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
      expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /);
      await until(() => closed.includes(ended));
    }
    expect(closed).toEqual(order);
  });

  test('of connections: those that wait for answers stay, and a new one is ended', async () => {
    const { server, decoder } = await scripted({ interval: 100 }, { limits: { connections: 2 } });
    const sockets = [1, 2].map(() => askAndIgnore(server, long));
    await until(() => decoder.busy === 2);
    await expect(ask(server, { path: '/health' })).rejects.toThrow(/hang up|ECONNRESET/);
    expect(decoder.busy).toBe(2);
    sockets[0].destroy();
    await until(() => decoder.busy === 1);
    expect((await ask(server, { path: '/health' })).status).toBe(200);
  });

  test('of a connection that is kept: longer than clients keep theirs', async () => {
    const { server } = await scripted();
    const { headers } = await ask(server, { body, headers: { Connection: 'keep-alive' } });
    expect(headers['keep-alive']).toBe('timeout=60');
  });

  test('of texts that wait: more are told to come again', async () => {
    const { server, decoder } = await scripted({ interval: 10 }, { limits: { waiting: 2 } });
    const asked = Array.from({ length: 4 }, () => ask(server, { body }));
    await until(() => decoder.waiting === 2);
    const { status, headers, json } = await ask(server, { body });
    expect([status, headers['retry-after']]).toEqual([429, '1']);
    expect(json.error).toMatchObject({ code: 'queue_full', type: 'rate_limit_error' });
    for (const { status } of await Promise.all(asked)) expect(status).toBe(200);
    expect((await ask(server, { body })).status).toBe(200);
  });

  test('of time: an answer that takes longer ends', async () => {
    const { server, decoder } = await scripted({ interval: 5 }, { limits: { seconds: 0.1 } });
    const { status, json } = await ask(server, { body: long });
    expect([status, json.error.message]).toEqual([504, 'the answer took longer than 0.1 seconds']);
    const { content } = await ask(server, { body: { ...long, stream: true } });
    // On a busy machine the time may be over before the first event.
    expect(content).toMatch(
      /(^|\n\ndata: )\{"error":\{"message":"the answer took longer than 0\.1 seconds".*\s*$/,
    );
    await until(() => decoder.busy === 0);
    expect(server.texts).toBe(0);
  });

  test('of one request: its texts and those of others get their turns alike', async () => {
    const { server, decoder } = await scripted({ interval: 2 });
    const many = ask(server, { body: { ...body, prompt: [5], n: 40 } });
    await until(() => decoder.begun.length >= 4);
    await ask(server, { body: { ...body, prompt: [9] } });
    expect(decoder.begun.findIndex(({ prompt: [id] }) => id === 9)).toBeLessThan(30);
    expect((await many).json.choices).toHaveLength(40);
  });
});
