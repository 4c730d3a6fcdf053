import { expect, test } from 'vitest';
import { DataError } from './errors.ts';
import { parseJson } from './parse-json.ts';

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
