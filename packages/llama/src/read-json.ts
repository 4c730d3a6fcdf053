import { existsSync, statSync } from 'node:fs';
import { DataError, parseJson, readWhole, schemaRule } from '@flex/base';
import type * as z from 'zod';

/**
 * The model directory at `dir`, checked to be one.
 * Throws DataError when there is nothing there, or when it is a file.
 */
export function requireDirectory(dir: string): void {
  if (!existsSync(dir)) throw new DataError(`${dir}: no such directory; give a Hugging Face Llama directory`);
  if (!statSync(dir).isDirectory()) {
    throw new DataError(`${dir}: is a file; give the Hugging Face Llama directory that holds it`);
  }
}

/** The largest vocabularies are some 30 MB. */
const mostBytes = 1 << 27;

/**
 * The content of a JSON file, as `schema` reads it.
 * Throws DataError naming the file and, where the content does not fit, the first key that is wrong,
 * what it may be and what it is.
 */
export function readJson<T>(path: string, schema: z.ZodType<T>): T {
  let text: string;
  try {
    text = readWhole(path, mostBytes).toString();
  } catch (cause) {
    throw cause instanceof DataError ? cause : new DataError(`${path}: cannot be read: ${cause}`, { cause });
  }
  return checkContent(path, [], parseJson(text, path), schema);
}

/** `content`, found in the file `path` under the keys `under`, as `schema` reads it. Throws like readJson. */
export function checkContent<T>(
  path: string,
  under: readonly string[],
  content: unknown,
  schema: z.ZodType<T>,
): T {
  const result = schema.safeParse(content, { error: schemaRule });
  if (result.success) return result.data;
  const { path: keys, message } = result.error.issues[0];
  let came = content;
  for (const key of keys) came = (came as Record<PropertyKey, unknown>)[key];
  const where = [...under, ...keys].join('.');
  const shown = JSON.stringify(came)?.slice(0, 80) ?? 'missing';
  throw new DataError(
    `${path}: ${where ? `"${where}"` : 'the content'} is wrong: ${message}; it is ${shown}`,
  );
}
