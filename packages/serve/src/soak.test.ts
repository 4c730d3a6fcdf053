import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type ModelServer, serve } from './serve.ts';
import { openMicro, tokenizer } from './testing/micro.ts';

// 64 programs that ask one server at the same time: some read nothing, some are gone early.

const isLong = process.env.FLEX_LONG_TESTS === '1';
const seconds = isLong ? 300 : 2;
const clients = 64;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

let micro: Awaited<ReturnType<typeof openMicro>>;
let server: ModelServer;

beforeAll(async () => {
  micro = await openMicro({ slots: 8 });
  server = await serve(micro.models, { port: 0, limits: { unsentBytes: 2 ** 16, stallSeconds: 30 } });
});
afterAll(async () => {
  await server.close();
  await micro.close();
});

/** What is left of requests once they are answered. */
function held() {
  collectGarbage();
  return {
    heap: process.memoryUsage().heapUsed,
    device: micro.backend.stats.liveBytes,
    sockets: process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length,
  };
}

const prompt = 'def add(a, b):\n';
const common = { model: 'micro', prompt, temperature: 0, max_tokens: 16 };
const scored = {
  ...common,
  prompt: [tokenizer.encode(prompt.repeat(4))],
  max_tokens: 1,
  echo: true,
  logprobs: 1,
};
const long = { ...common, max_tokens: 600, logprobs: 20, stream: true } as const;

async function textOf(stream: AsyncIterable<OpenAI.Completion>): Promise<string> {
  let text = '';
  for await (const { choices } of stream) text += choices[0].text;
  return text;
}

/** A program of each kind: what it asks once, and gives where it is to be told. */
type Program = (client: OpenAI, expected: string) => Promise<void>;

const asksWhole: Program = async (client, expected) => {
  expect((await client.completions.create(common)).choices[0].text).toBe(expected);
};
const streams: Program = async (client, expected) => {
  expect(await textOf(await client.completions.create({ ...common, stream: true }))).toBe(expected);
};
const chats: Program = async (client) => {
  const messages = [{ role: 'user', content: prompt }] as const;
  const runner = client.chat.completions.stream({
    model: 'contrary',
    messages: [...messages],
    max_tokens: 8,
  });
  expect((await runner.finalChatCompletion()).usage).toBeFalsy();
};
const scores: Program = async (client) => {
  const { choices, usage } = await client.completions.create(scored);
  expect(choices[0].logprobs?.tokens).toHaveLength(usage!.total_tokens);
};
/** Asks for a long stream by a connection of its own, and is gone after so many milliseconds. */
async function leaves(after: number, { reads }: { readonly reads: boolean }): Promise<void> {
  const content = JSON.stringify(long);
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(server.address).port) });
  socket.on('error', () => {});
  socket.write(
    'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
      `Content-Length: ${content.length}\r\n\r\n${content}`,
  );
  if (reads) socket.resume();
  else socket.pause();
  await wait(after);
  socket.destroy();
}
const drops: Program = () => leaves(200 * Math.random(), { reads: true });
const ignores: Program = () => leaves(2000, { reads: false });
const programs = [asksWhole, streams, chats, scores, asksWhole, streams, drops, ignores];

test(
  `${clients} programs at once are answered alike, and nothing is left of them`,
  async () => {
    const alone = new OpenAI({ baseURL: server.address, apiKey: 'any', maxRetries: 0 });
    const expected = (await alone.completions.create(common)).choices[0].text;
    // The cache has its full size, and whatever is made once is there.
    const begun = performance.now();
    await alone.completions.create({ ...common, max_tokens: 1000 });
    const longText = performance.now() - begun;
    const before = held();
    const end = performance.now() + 1000 * seconds;
    const waits: number[][] = [];
    let asked = 0;
    const run = async (index: number): Promise<void> => {
      const client = new OpenAI({ baseURL: server.address, apiKey: `${index}`, maxRetries: 0 });
      const program = programs[index % programs.length];
      const own: number[] = [];
      do {
        const begin = performance.now();
        await program(client, expected);
        own.push(performance.now() - begin);
        asked++;
      } while (performance.now() < end);
      if (program === asksWhole) waits.push(own);
    };
    await Promise.all(Array.from({ length: clients }, (_, index) => run(index)));
    const told = performance.now();
    while (server.texts > 0) await wait(10);
    const freed = performance.now() - told;
    const after = held();
    if (isLong) {
      const sorted = waits.flat().sort((a, b) => a - b);
      const share = (p: number) => sorted[Math.floor(p * (sorted.length - 1))];
      const counts = waits.map(({ length }) => length);
      const milliseconds = { median: share(0.5), p99: share(0.99), longest: share(1), freed, longText };
      console.info(JSON.stringify({ asked, counts, milliseconds, before, after }));
      // What a few seconds of a busy machine cannot tell.
      expect(freed).toBeLessThan(longText);
      expect(share(1)).toBeLessThan(5 * share(0.5) + 500);
      expect(Math.max(...counts)).toBeLessThanOrEqual(1.5 * Math.min(...counts) + 1);
    }
    expect(after.device).toBe(before.device);
    expect(after.heap - before.heap).toBeLessThan(16 * 2 ** 20);
    await server.close(5000);
    // The clients' sides of kept connections end a little later.
    await vi.waitFor(() => expect(held().sockets).toBeLessThanOrEqual(before.sockets), 10_000);
  },
  1000 * (seconds + 60),
);
