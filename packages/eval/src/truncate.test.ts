import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { truncate, truncateCompletion, truncations } from './truncate.ts';

const stop = ['\nclass', '\ndef', 'ab', 'b'];
const text = fc
  .array(fc.constantFrom('a', 'b', '\n', ' ', '\t', '\r', '\nclass', '\ndef', '    return x'))
  .map((parts) => parts.join(''));
const stops = fc.subarray(stop);

describe('a truncated completion', () => {
  test.each(truncations)(
    'by %s is a beginning of the text, and stays as it is when truncated again',
    (truncation) => {
      fc.assert(
        fc.property(text, stops, (given, tokens) => {
          const kept = truncate(given, truncation, tokens);
          expect(given.startsWith(kept)).toBe(true);
          expect(truncate(kept, truncation, tokens)).toBe(kept);
        }),
      );
    },
  );

  test('by the stop list holds no stop text, and goes on right up to one', () => {
    fc.assert(
      fc.property(text, stops, (given, tokens) => {
        const kept = truncate(given, 'stop-list', tokens);
        expect(tokens.filter((token) => kept.includes(token))).toEqual([]);
        const rest = given.slice(kept.length);
        expect(rest === '' || tokens.some((token) => rest.startsWith(token))).toBe(true);
      }),
    );
  });

  test('by blank lines holds none after its first line, and ends where one follows', () => {
    fc.assert(
      fc.property(text, (given) => {
        const kept = truncate(given, 'blank-line', stop);
        const blank = (line: string) => line.trim() === '';
        expect(kept.split('\n').slice(1, -1).filter(blank)).toEqual([]);
        if (kept !== given) expect(given.slice(kept.length)).toMatch(/^\n[ \t\r]*\n/);
      }),
    );
  });

  test.each([
    ['    x = 1\n\n    return x\n', '    x = 1'],
    ['    x = 1\n \t\r\n    return x\n', '    x = 1'],
    ['\n    return x\n\nprint()', '\n    return x'],
    ['\n\n    return x', ''],
    ['    return x\n', '    return x\n'],
  ])('by blank lines of %j is %j', (given, expected) => {
    expect(truncate(given, 'blank-line', [])).toBe(expected);
  });

  test.each(['none', 'fenced'] as const)('is everything by %s', (truncation) => {
    expect(truncate('a\nclass\n\nb', truncation, stop)).toBe('a\nclass\n\nb');
  });
});

test('a whole program is never truncated', () => {
  const problem = { id: '1', language: 'py', prompt: '', stop, canonical: null, empty: '' } as const;
  const program = { kind: 'program', text: 'x\nclass A: pass' } as const;
  expect(truncateCompletion(program, problem, 'stop-list')).toEqual(program);
  expect(truncateCompletion({ ...program, kind: 'completion' }, problem, 'stop-list').text).toBe('x');
});
