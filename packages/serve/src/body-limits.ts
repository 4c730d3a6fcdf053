import { ApiError } from './api-error.ts';

/** Lists and objects in each other, at most. */
const mostDepth = 64;
/** Elements of lists and keys of objects within a key of a request, at most. */
const mostValues = 4096;
/** Keys of a request, and characters of a key, at most. */
const [mostKeys, longestKey] = [64, 64];
/** Keys of all objects of a request together, at most: twice as many as there may be biases. */
const mostKeysInAll = 32_768;

const [quote, backslash, colon, openers, closers] = [0x22, 0x5c, 0x3a, [0x5b, 0x7b], [0x5d, 0x7d]];

/**
 * Throws ApiError where JSON is nested more deeply or has more keys than any request has: reading it as a
 * value, and telling what is wrong with it, would take up to a hundred times as long as of other JSON.
 */
export function requireSimple(json: Uint8Array): void {
  let [depth, keys] = [0, 0];
  let isText = false;
  for (let i = 0; i < json.length; i++) {
    const byte = json[i];
    if (isText) {
      if (byte === backslash) i++;
      else if (byte === quote) isText = false;
    } else if (byte === quote) {
      isText = true;
    } else if (openers.includes(byte)) {
      if (++depth > mostDepth)
        throw new ApiError(400, `the body must be nested at most ${mostDepth} deep, and is more so`);
    } else if (closers.includes(byte)) {
      depth--;
    } else if (byte === colon && ++keys > mostKeysInAll) {
      throw new ApiError(400, `the body must have at most ${mostKeysInAll} keys in all its objects`);
    }
  }
}

/**
 * Throws ApiError where a body has more keys, or one of its keys more within it, than a request needs: before
 * a schema looks at each. `own` are the keys whose schemas are as quick as JSON itself.
 */
export function requireFew(body: object, own: ReadonlySet<string>): void {
  const keys = Object.keys(body);
  if (keys.length > mostKeys)
    throw new ApiError(400, `the body must have at most ${mostKeys} keys, got ${keys.length}`);
  for (const [param, value] of Object.entries(body)) {
    requireShortKey(param);
    if (!own.has(param)) requireFewWithin(param, value);
  }
}

function requireFewWithin(param: string, value: unknown): void {
  const left: unknown[] = [value];
  let values = 0;
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    if (typeof one !== 'object' || one === null) continue;
    const keys = Array.isArray(one) ? [] : Object.keys(one);
    values += Array.isArray(one) ? one.length : keys.length;
    if (values > mostValues) {
      const what = `must have at most ${mostValues} elements and keys, with those of what is in it`;
      throw new ApiError(400, `${param} ${what}`, { param });
    }
    for (const key of keys) requireShortKey(key);
    for (const inner of Object.values(one)) left.push(inner);
  }
}

function requireShortKey(key: string): void {
  if (key.length <= longestKey) return;
  const begins = JSON.stringify(key.slice(0, 20));
  throw new ApiError(
    400,
    `keys must have at most ${longestKey} characters; one that begins with ${begins} has more`,
  );
}
