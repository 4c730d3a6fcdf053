import { existsSync, statSync } from 'node:fs';
import {
  DataError,
  duplicateKey,
  nearestName,
  parseJson,
  printable,
  readWhole,
  schemaRule,
} from '@flex/base';
import type * as z from 'zod';

/**
 * The model directory at `dir`, checked to be one.
 * Throws DataError when there is nothing there, or when it is a file.
 */
export function requireDirectory(dir: string): void {
  if (!existsSync(dir)) throw new DataError(`${dir}: no such directory; give a Hugging Face model directory`);
  if (!statSync(dir).isDirectory()) {
    throw new DataError(`${dir}: is a file; give the Hugging Face model directory that holds it`);
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
  let bytes: Buffer;
  try {
    bytes = readWhole(path, mostBytes);
  } catch (cause) {
    throw cause instanceof DataError ? cause : new DataError(`${path}: cannot be read: ${cause}`, { cause });
  }
  return checkContent(path, [], parsePythonJson(decoded(bytes, path), path), schema);
}

function decoded(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${path}: is not UTF-8; copy it again`, { cause });
  }
}

/**
 * The value of a JSON text, in which Python's NaN, Infinity and -Infinity are texts. Throws DataError
 * as parseJson does, and for a key that an object has twice.
 */
function parsePythonJson(text: string, path: string): unknown {
  const value = parseJson(/NaN|Infinity/.test(text) ? quoteConstants(text) : text, path);
  const twice = duplicateKey(text, value);
  if (twice !== undefined)
    throw new DataError(`${path}: has the key "${printable(twice)}" twice; leave one of them`);
  return value;
}

function quoteConstants(text: string): string {
  let quoted = false;
  return text.replace(/\\.|"|-?Infinity|NaN/gs, (part) => {
    if (part === '"') quoted = !quoted;
    return quoted || part === '"' || part[0] === '\\' ? part : `"${part}"`;
  });
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
  const where = printable([...under, ...keys].join('.'));
  const shown = printable(JSON.stringify(came)?.slice(0, 80) ?? 'missing');
  throw new DataError(
    `${path}: ${where ? `"${where}"` : 'the content'} is wrong: ${message}; it is ${shown}`,
  );
}

/**
 * Throws DataError for a key that is none of `known` and one letter off one that is not there: other programs
 * would take that one's default.
 */
export function requireSpelled(path: string, content: object, known: readonly string[]): void {
  const absent = known.filter((key) => !(key in content));
  for (const key of Object.keys(content)) {
    const meant = known.includes(key) ? undefined : nearestName(key, absent, 1);
    if (meant !== undefined) throw new DataError(`${path}: "${printable(key)}" must be "${meant}", or go`);
  }
}
