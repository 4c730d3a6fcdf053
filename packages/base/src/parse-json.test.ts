import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DataError } from './errors.ts';
import { duplicateKey, parseJson } from './parse-json.ts';

const lists = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

test('a text may be nested 256 deep; one that is deeper, closed or not, is refused', () => {
  for (const nested of [lists, objects]) {
    expect(JSON.stringify(parseJson(nested(256), 'x'))).toBe(nested(256));
    for (const depth of [257, 200_000]) {
      expect(() => parseJson(nested(depth), 'a:1')).toThrow(DataError);
      expect(() => parseJson(nested(depth), 'a:1')).toThrow(
        'a:1: is nested more than 256 lists and objects deep',
      );
    }
  }
  expect(() => parseJson('['.repeat(200_000), 'x')).toThrow('is nested');
});

test('what is closed again, and brackets in texts, do not count', () => {
  const wide = `[${Array(1000).fill('[],{}').join()}]`;
  expect(parseJson(wide, 'x')).toHaveLength(2000);
  for (const text of [
    '['.repeat(1000),
    '"['.repeat(1000),
    '\\'.repeat(3) + '{'.repeat(1000),
    '\\"'.repeat(500),
  ]) {
    expect(parseJson(JSON.stringify([text]), 'x')).toEqual([text]);
  }
});

test('a key that an object has twice is found, however it is written and whatever else looks like a key', () => {
  const twice = (text: string) => duplicateKey(text, JSON.parse(text));
  expect(twice('{"a": 1, "b": {"a": 2}, "a" \t\n: 3}')).toBe('a');
  expect(twice('[[{"\\u0061": 1, "a": 2}]]')).toBe('a');
  expect(twice('{"x\\\\": {"__proto__": 1, "__proto__": 2}}')).toBe('__proto__');
  expect(twice('{"\\"a\\": 1": "b\\": ", "b": ["a", {"\\"a\\": 1": null}]}')).toBeUndefined();
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      for (const text of [JSON.stringify(value), JSON.stringify(value, null, 1)]) {
        expect(twice(text)).toBeUndefined();
        expect(twice(`[${text}, {"k": ${text}, "k": ${text}}]`)).toBe('k');
      }
    }),
  );
});
