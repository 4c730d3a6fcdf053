import { DataError, type JsonLine, openJsonLog } from '@flex/base';
import { z } from 'zod';

/** Texts by key, in memory and, where it has a file, on disk. */
export interface CompletionCache {
  has(key: string): boolean;
  /** Throws RangeError for a key that is not there. */
  get(key: string): string;
  /** When it returns, the texts outlive this process. */
  add(...entries: readonly CacheEntry[]): void;
  close(): void;
}

const entrySchema = z.object({ key: z.string(), text: z.string() });
export type CacheEntry = z.infer<typeof entrySchema>;

/**
 * The cache in a file of JSON Lines `{key, text}`, which is only ever appended to; null keeps it in memory.
 * Throws DataError with file and line for lines that are no entries.
 */
export function openCompletionCache(path: string | null): CompletionCache {
  const texts = new Map<string, string>();
  const log = openJsonLog(path, (line) => {
    const { key, text } = entryOf(line);
    texts.set(key, text);
  });
  return {
    has: (key) => texts.has(key),
    get(key) {
      const text = texts.get(key);
      if (text === undefined) throw new RangeError(`cache: has no entry ${key}`);
      return text;
    },
    add(...entries) {
      log.append(...entries);
      for (const { key, text } of entries) texts.set(key, text);
    },
    close: log.close,
  };
}

function entryOf({ value, where }: JsonLine): CacheEntry {
  const entry = entrySchema.safeParse(value);
  if (entry.success) return entry.data;
  throw new DataError(`${where}: is no completion {"key", "text"}; delete the file to generate anew`);
}
