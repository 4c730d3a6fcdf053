import fc from 'fast-check';
import { expect, test } from 'vitest';
import { oneLine, printable, show } from './one-line.ts';

test('any text becomes one short line without control characters, and stays as it is then', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
      const line = oneLine(text);
      expect(line.length).toBeLessThanOrEqual(200);
      expect(line).not.toMatch(/[\p{Cc}\p{Cs}\u2028\u2029]/u);
      expect(oneLine(line)).toBe(line);
    }),
  );
});

test('known lines', () => {
  expect(oneLine(' a \n\n\tb\u0007')).toBe('a b');
  expect(oneLine('\u001b[31mred')).toBe('[31mred');
  expect(oneLine('x'.repeat(200))).toBe('x'.repeat(200));
  expect(oneLine('x'.repeat(201))).toBe(`${'x'.repeat(199)}…`);
  expect(oneLine(`${'x'.repeat(198)}😀yz`)).toBe(`${'x'.repeat(198)}…`);
});

test('what could steer a terminal is printed as escapes, and all else as it is', () => {
  expect(printable('\u001b[2J\u009b31m\u202e\u2028\n\u007fé\t😀')).toBe(
    '\\u{1b}[2J\\u{9b}31m\\u{202e}\\u{2028}\\u{a}\\u{7f}é\t😀',
  );
});

test('what is nested more deeply than JSON can be written is shown as its beginning', () => {
  const deep = (open: string, close: string) =>
    JSON.parse(`${open.repeat(100_000)}1${close.repeat(100_000)}`);
  expect([show(deep('[', ']')), show(deep('{"a":', '}'))]).toEqual(['[...', '{...']);
});
