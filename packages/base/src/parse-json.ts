import { DataError } from './errors.ts';
import { oneLine } from './one-line.ts';

/**
 * Lists and objects within each other that a JSON text may have. What walks values, here and in
 * JSON.stringify, goes as deep as they do, and the stack has an end.
 */
const maxDepth = 256;

/**
 * The value of a JSON text. Throws DataError, which begins with `where`, for a text that is none or is nested too
 * deeply.
 */
export function parseJson(text: string, where: string): unknown {
  if (isDeeper(text, maxDepth)) {
    throw new DataError(`${where}: is nested more than ${maxDepth} lists and objects deep`);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    // V8 quotes the text, line breaks included.
    throw new DataError(`${where}: is not JSON: ${oneLine((cause as Error).message)}`, { cause });
  }
}

/** A key that an object of a JSON text has twice, of which its value by JSON.parse keeps the last only. */
export function duplicateKey(validJson: string, value: unknown): string | undefined {
  // A vocabulary has a quarter of a million keys, hardly ever one twice, and counting is ten times as quick.
  return keysInText(validJson) === keysIn(value) ? undefined : firstDuplicate(validJson);
}

/** Keys in all objects of a JSON text: its texts that a colon follows. */
function keysInText(validJson: string): number {
  const [quote, backslash, colon] = [34, 92, 58];
  let keys = 0;
  for (let at = validJson.indexOf('"'); at !== -1; at = validJson.indexOf('"', at + 1)) {
    for (at++; validJson.charCodeAt(at) !== quote; at++) if (validJson.charCodeAt(at) === backslash) at++;
    let next = at + 1;
    while (validJson.charCodeAt(next) <= 32) next++;
    if (validJson.charCodeAt(next) === colon) keys++;
  }
  return keys;
}

/** Keys in all objects of a value of JSON. */
function keysIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const isList = Array.isArray(value);
  const inner: readonly unknown[] = isList ? value : Object.values(value);
  let keys = isList ? 0 : inner.length;
  for (const each of inner) if (typeof each === 'object') keys += keysIn(each);
  return keys;
}

function firstDuplicate(validJson: string): string | undefined {
  const open: Set<string>[] = [];
  for (let at = 0; at < validJson.length; at++) {
    if (validJson[at] === '{') open.push(new Set());
    else if (validJson[at] === '}') open.pop();
    if (validJson[at] !== '"') continue;
    const begin = at;
    for (at++; validJson[at] !== '"'; at++) if (validJson[at] === '\\') at++;
    let next = at + 1;
    while (' \t\r\n'.includes(validJson[next] ?? '.')) next++;
    if (validJson[next] !== ':') continue;
    const key: string = JSON.parse(validJson.slice(begin, at + 1));
    const keys = open[open.length - 1];
    if (keys.has(key)) return key;
    keys.add(key);
  }
  return undefined;
}

/** Whether a JSON text is nested deeper than this. */
function isDeeper(text: string, most: number): boolean {
  const [quote, backslash] = [34, 92];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      for (at++; at < text.length && text.charCodeAt(at) !== quote; at++) {
        if (text.charCodeAt(at) === backslash) at++;
      }
    }
    // [ and {, then ] and }.
    else if (code === 91 || code === 123) depth++;
    else if (code === 93 || code === 125) depth--;
    if (depth > most) return true;
  }
  return false;
}
