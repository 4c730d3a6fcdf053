import { ConfigError } from '@flex/base';
import { Redis } from 'ioredis';
import type { RedisAddress } from './redis-address.ts';

/** Milliseconds to wait for a first connection. */
const patience = 10_000;
/** Milliseconds between attempts to connect again, at most. */
const longestPause = 2_000;

/**
 * A connection to a Redis, which is made anew whenever it is lost, for as long as it takes; commands wait
 * meanwhile. `onNote` is told when it is lost and when it is back. Throws ConfigError where there is no
 * Redis, where it takes neither user nor password, and where it is one that may forget.
 */
export async function connectRedis(
  { name, options }: RedisAddress,
  onNote: (line: string) => void,
): Promise<Redis> {
  let hasConnected = false;
  let trouble = '';
  const client = new Redis({
    ...options,
    lazyConnect: true,
    connectTimeout: patience,
    maxRetriesPerRequest: null,
    retryStrategy: (times) => (hasConnected ? Math.min(100 * times, longestPause) : null),
  });
  client.on('error', ({ message }: Error) => {
    trouble = message;
  });
  try {
    await client.connect();
    await requireLasting(client, name);
  } catch (error) {
    client.disconnect();
    if (error instanceof ConfigError) throw error;
    const why = trouble || (error as Error).message;
    throw new ConfigError(`${name}: no Redis can be reached there: ${why}`, { cause: error });
  }
  hasConnected = true;
  let isLost = false;
  client.on('close', () => {
    if (!isLost && client.status !== 'end') onNote(`${name}: the connection is lost; trying again`);
    isLost = true;
  });
  client.on('ready', () => {
    isLost = false;
    onNote(`${name}: connected again`);
  });
  return client;
}

/** Refuses a Redis that throws out keys when its memory is full: jobs and locks would be among them. */
async function requireLasting(client: Redis, name: string): Promise<void> {
  const policy = /^maxmemory_policy:(\S+)/m.exec(await client.info('memory'))?.[1] ?? 'noeviction';
  if (policy === 'noeviction') return;
  throw new ConfigError(
    `${name}: forgets jobs when its memory is full (maxmemory-policy ${policy}); set it to noeviction`,
  );
}

/**
 * Notes an error of the queue, each line once in a row; what comes of a connection that is lost is told
 * already.
 */
export function noteUnlessLost(client: Redis, onNote: (line: string) => void): (error: Error) => void {
  let last = '';
  return ({ message }) => {
    if (client.status === 'ready' && message !== last) onNote(message);
    last = message;
  };
}
