import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { temporaryFolder } from '@flex/base/testing';
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';

/** Whether there is no redis-server here. */
export const withoutRedis = spawnSync('redis-server', ['--version']).status !== 0;

/** A Redis of a test's own, which ends with it. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** Ends it and starts it anew: with what it has on its disk, or without. */
  restart(how: 'SIGTERM' | 'SIGKILL' | 'emptied'): Promise<void>;
  /** The names of its keys that match. */
  keys(pattern: string): Promise<string[]>;
}

/** Starts a Redis that writes each change to its disk, with further options such as `--requirepass`. */
export async function startRedis(...options: string[]): Promise<RedisServer> {
  const port = await freePort();
  const folder = temporaryFolder();
  const network = options.includes('--tls-port') ? [] : ['--port', String(port)];
  const at = (option: string) => (option === 'PORT' ? String(port) : option);
  const kept = ['--appendonly', 'yes', '--dir', folder, '--bind', '127.0.0.1'];
  let server: ChildProcess;
  let times = 0;
  const start = async () => {
    const file = ['--appenddirname', `log-${times}`];
    server = spawn('redis-server', [...network, ...kept, ...file, ...options.map(at)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface(server.stdout!)) {
      if (line.includes('Ready to accept connections')) break;
    }
    server.stdout!.resume();
  };
  const stop = async (how: 'SIGTERM' | 'SIGKILL') => {
    const ended = once(server, 'exit');
    server.kill(how);
    await ended;
  };
  await start();
  onTestFinished(() => void server.kill('SIGKILL'));
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    async keys(pattern) {
      const client = new Redis(port);
      try {
        return await client.keys(pattern);
      } finally {
        client.disconnect();
      }
    },
    async restart(how) {
      if (how === 'emptied') times++;
      await stop(how === 'emptied' ? 'SIGKILL' : how);
      await start();
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
