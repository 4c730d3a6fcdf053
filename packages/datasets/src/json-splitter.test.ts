import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memberText, newJsonSplitter } from './json-splitter.ts';

/** The parts of a text that comes in chunks of these sizes, and whether it was closed. */
function split(text: string, sizes: readonly number[] = []) {
  const splitter = newJsonSplitter();
  const bytes = Buffer.from(text);
  const parts: { text: string; line: number }[] = [];
  let from = 0;
  for (const size of [...sizes, bytes.length]) {
    for (const part of splitter.push(bytes.subarray(from, from + size))) {
      parts.push({ text: part.bytes.toString().trim(), line: part.line });
    }
    from = Math.min(bytes.length, from + size);
  }
  return { parts, closed: splitter.closed() };
}

describe('a JSON list', () => {
  const indent = fc.constantFrom(undefined, 1, '\t');
  const sizes = fc.array(fc.integer({ min: 0, max: 7 }));

  test('falls into its elements, wherever the chunks break', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), indent, sizes, (values, space, chunks) => {
        const { parts, closed } = split(JSON.stringify(values, null, space), chunks);
        expect(parts.map(({ text }) => JSON.parse(text))).toEqual(JSON.parse(JSON.stringify(values)));
        expect(closed).toBe(true);
      }),
    );
  });

  test('tells the line in which each element begins', () => {
    expect(split('[\n1,\n\n "a\\nb", [\n2],\n3\n]').parts).toEqual([
      { text: '1', line: 2 },
      { text: '"a\\nb"', line: 4 },
      { text: '[\n2]', line: 4 },
      { text: '3', line: 6 },
    ]);
  });

  test('has members whose keys are of any length', () => {
    const long = '\\n'.repeat(5_000_000);
    expect(memberText(`{"${long}":1, "\\u0061" : 2.50}`, 'a')).toBe('2.50');
  });

  test('that is empty has no elements; one after a last comma is empty', () => {
    expect(split(' [ \n ] ')).toEqual({ parts: [], closed: true });
    expect(split('[1,]').parts.map(({ text }) => text)).toEqual(['1', '']);
  });

  test.each(['', '[', '[1', '["a]', '["a\\"]', '[1] 2', '[1][2]', '[][]', '[1]]', '[] "', '1', '"a"'])(
    'is not closed: %s',
    (text) => {
      expect(split(text).closed).toBe(false);
    },
  );
});

describe('the text of a member', () => {
  test('is that of the value, for every key of an object', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(0, 2), (object, space) => {
        const json = JSON.stringify(object, null, space);
        for (const [key, value] of Object.entries(JSON.parse(json) as object)) {
          expect(JSON.parse(memberText(json, key) ?? '')).toEqual(value);
        }
      }),
    );
  });

  test('keeps digits that no double can hold', () => {
    expect(memberText('{"a": {"n": 123456789012345678901, "x": 1.0}, "n": 2}', 'a')).toBe(
      '{"n": 123456789012345678901, "x": 1.0}',
    );
  });

  test('is not there for a key of an inner object, and is the last of several', () => {
    expect(memberText('{"a": {"b": 1}}', 'b')).toBeUndefined();
    expect(memberText('{"b": 1, "b": 2}', 'b')).toBe('2');
  });
});
