import { existsSync } from 'node:fs';
import { ConfigError, expandHome, readWhole } from '@flex/base';
import type { RedisOptions } from 'ioredis';

/** Where a Redis is, and who asks it. */
export interface RedisAddress {
  /** What may be told to anyone: `redis://HOST:PORT/DB`. */
  readonly name: string;
  /** With the secrets. */
  readonly options: Pick<RedisOptions, 'host' | 'port' | 'db' | 'username' | 'password' | 'tls'>;
}

const form = 'redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// with TLS';

/**
 * The address that `--queue` gives: a URL, or a file whose first line is one; without a value, that of
 * FLEX_REDIS_URL, which is then taken from the environment, so that no process started later has it. Throws
 * ConfigError, which has no secret in it.
 */
export function redisAddress(given?: string | true, env: NodeJS.ProcessEnv = process.env): RedisAddress {
  const { FLEX_REDIS_URL } = env;
  delete env.FLEX_REDIS_URL;
  if (typeof given !== 'string') {
    if (FLEX_REDIS_URL) return parseRedisUrl(FLEX_REDIS_URL, 'FLEX_REDIS_URL');
    throw new ConfigError(`--queue: needs a URL (${form}), a file that holds it, or FLEX_REDIS_URL`);
  }
  if (/^rediss?:/.test(given)) return parseRedisUrl(given, '--queue');
  const file = expandHome(given);
  if (/:\/\//.test(given) || !existsSync(file)) {
    throw new ConfigError(`--queue: must be ${form}, or a file that holds it`);
  }
  const [line] = readWhole(file, maxFileBytes).toString().trim().split('\n', 1);
  return parseRedisUrl(line, file);
}

const maxFileBytes = 1 << 16;

function parseRedisUrl(text: string, where: string): RedisAddress {
  const url = URL.canParse(text) ? new URL(text) : null;
  const database = /^\/?(\d{0,5})$/.exec(url?.pathname ?? '-');
  const isAddress = /^rediss?:$/.test(url?.protocol ?? '') && url!.hostname !== '' && database !== null;
  if (!isAddress || url!.search !== '' || url!.hash !== '') {
    throw new ConfigError(`${where}: must be ${form}; letters that a URL cannot have are written %40`);
  }
  const { protocol, hostname, username, password } = url!;
  const host = hostname.replace(/^\[|\]$/g, '');
  const [port, db] = [Number(url!.port || 6379), Number(database[1])];
  return {
    name: `${protocol}//${hostname}:${port}/${db}`,
    options: {
      ...{ host, port, db },
      ...(username !== '' && { username: decode(username, where) }),
      ...(password !== '' && { password: decode(password, where) }),
      ...(protocol === 'rediss:' && { tls: { servername: host } }),
    },
  };
}

function decode(text: string, where: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new ConfigError(`${where}: a % in its user or password must be written %25`, { cause });
  }
}
