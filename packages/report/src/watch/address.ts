import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ConfigError, expandHome, readWhole } from '@flex/base';

/** Where a folder is watched: the same whenever its user watches it, so that a page that is open goes on. */
export interface WatchAddress {
  /** 192 bits that nobody else can know, in base64url. */
  readonly token: string;
  /** The first port that is tried: from 20000 to 29999. */
  readonly port: number;
}

const keyBytes = 32;

/** The folder in which programs keep their own: XDG_STATE_HOME, else ~/.local/state. */
export function stateFolder({ XDG_STATE_HOME }: NodeJS.ProcessEnv = process.env): string {
  return join(resolve(expandHome(XDG_STATE_HOME || '~/.local/state')), 'flex');
}

/**
 * The address of a folder: HMAC-SHA256 of its real path under a key of the user's, which is made once and
 * kept in the file `watch.key` of the state folder, that only its user may read. Throws ConfigError where
 * there can be no such file, and where others may read it.
 */
export function watchAddress(folder: string, keyFolder = stateFolder()): WatchAddress {
  const digest = createHmac('sha256', watchKey(keyFolder)).update(realpathSync(folder)).digest();
  return {
    token: digest.subarray(0, 24).toString('base64url'),
    port: 20_000 + (digest.readUInt32BE(24) % 10_000),
  };
}

function watchKey(folder: string): Buffer {
  const file = join(folder, 'watch.key');
  makeKey(folder, file);
  const key = readWhole(file);
  if (key.length !== keyBytes) throw new ConfigError(`${file}: is no key of flex; remove it`);
  if ((statSync(file).mode & 0o077) !== 0) {
    throw new ConfigError(`${file}: others may read it, so that it is no secret; remove it`);
  }
  return key;
}

/**
 * Makes the key where there is none; of two that do so at once, one succeeds, and the other takes its key.
 */
function makeKey(folder: string, file: string): void {
  if (existsSync(file)) return;
  const draft = `${file}.${randomUUID()}`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(draft, randomBytes(keyBytes), { flag: 'wx', mode: 0o600 });
    try {
      linkSync(draft, file);
    } finally {
      rmSync(draft);
    }
  } catch (cause) {
    if (existsSync(file)) return;
    const message = `${file}: the key of addresses cannot be written: ${(cause as Error).message}`;
    throw new ConfigError(`${message}; XDG_STATE_HOME can name another folder`, { cause });
  }
}
