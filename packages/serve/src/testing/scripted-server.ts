import { request as send } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach } from 'vitest';
import { type ModelServer, type ServeOptions, serve } from '../serve.ts';
import type { Models } from '../served.ts';
import { newTurns } from '../turns.ts';
import { chatTemplate, tokenizer } from './micro.ts';
import { type Script, scriptedDecoder } from './scripted-decoder.ts';

/** What is closed after each test, the last first. */
export const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

export interface Scripted {
  readonly server: ModelServer;
  readonly decoder: ReturnType<typeof scriptedDecoder>;
}

/** A server of a script's texts. */
export async function scripted(
  { slots = 2, ...script }: Partial<Script> = {},
  options: ServeOptions = {},
  changes: Partial<Models> = {},
): Promise<Scripted> {
  const decoder = scriptedDecoder({ slots, ...script });
  const named = { name: 'org/micro', adapters: ['tuned'] };
  const models = { decoder, slots, ...named, tokenizer, chatTemplate, turns: newTurns() };
  const server = await serve({ ...models, maxLength: 1000, ...changes }, { port: 0, ...options });
  open.push(server);
  return { server, decoder };
}

export interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answered {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly content: string;
  /** The content, where it is JSON. */
  readonly json: {
    readonly error: object & { readonly message: string };
    readonly choices: readonly object[];
  };
}

/** Asks the server by a connection of its own. */
export function ask(
  { address }: ModelServer,
  { path = '/v1/completions', method, body, headers }: Asked = {},
) {
  return new Promise<Answered>((resolve, reject) => {
    const { port } = new URL(address);
    const chosen = {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: { 'Content-Type': 'application/json', ...headers },
    };
    const asked = send({ host: '127.0.0.1', port, path, agent: false, ...chosen }, async (answer) => {
      const content = await text(answer);
      const json = content.startsWith('{') ? JSON.parse(content) : null;
      resolve({ status: answer.statusCode!, headers: answer.headers, content, json });
    });
    asked.on('error', reject);
    asked.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
  });
}

/** A connection that asks nothing. */
export function connectTo({ address }: ModelServer) {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(address).port) });
  open.push({ close: () => socket.destroy() });
  return socket.on('error', () => {});
}

/** A connection that sends a request, so many times, and reads nothing. */
export function askAndIgnore(server: ModelServer, body: object, times = 1) {
  const socket = connectTo(server);
  const content = JSON.stringify(body);
  socket.write(
    `${
      'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
      `Content-Length: ${content.length}\r\n\r\n${content}`
    }`.repeat(times),
  );
  return socket.pause();
}

/** Waits for it, 20 seconds at most. */
export async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`still not: ${condition}`);
    await wait(2);
  }
}
