import { basename } from 'node:path';
import { openAppendLog } from './append-log.ts';
import { DataError } from './errors.ts';

/** Texts by key, in memory and, where it has a file, on disk. */
export interface CompletionCache {
  has(key: string): boolean;
  /** Throws RangeError for a key that is not there. */
  get(key: string): string;
  /** Resolves when the texts are written. */
  add(entries: readonly CacheEntry[]): Promise<void>;
  close(): Promise<void>;
}

export interface CacheEntry {
  readonly key: string;
  readonly text: string;
}

/**
 * The cache in a file of JSON Lines `{key, text}`, which is only ever appended to; null keeps it in memory.
 * Throws DataError with file and line for lines that are no entries.
 */
export async function openCompletionCache(path: string | null): Promise<CompletionCache> {
  const texts = new Map<string, string>();
  const log = await openAppendLog(path, (json, line) => {
    const { key, text } = readEntry(json, `${basename(path ?? '')}:${line}`);
    texts.set(key, text);
  });
  return {
    has: (key) => texts.has(key),
    get(key) {
      const text = texts.get(key);
      if (text === undefined) throw new RangeError(`cache: has no entry ${key}`);
      return text;
    },
    async add(entries) {
      await log.append(entries);
      for (const { key, text } of entries) texts.set(key, text);
    },
    close: log.close,
  };
}

function readEntry(json: string, where: string): CacheEntry {
  try {
    const { key, text } = JSON.parse(json) as CacheEntry;
    if (typeof key === 'string' && typeof text === 'string') return { key, text };
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
  }
  throw new DataError(`${where}: is no completion {"key", "text"}; delete the file to generate anew`);
}
