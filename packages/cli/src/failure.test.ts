import { DataError, onDisk } from '@flex/base';
import { expect, test } from 'vitest';
import { failureOf, messageOf } from './failure.ts';

test('an error is one line that cannot steer a terminal, of a length that one reads', () => {
  expect(messageOf(new DataError('a\u001b[2J\u009b\u202e b\nc'), false)).toBe(
    'a\\u{1b}[2J\\u{9b}\\u{202e} b',
  );
  expect(messageOf('\u0007', false)).toBe('\\u{7}');
  expect(messageOf(new DataError('x'.repeat(3_000_000)), false)).toBe(`${'x'.repeat(2000)}…`);
});

test('a stack keeps its lines, and cannot steer a terminal either', () => {
  const lines = messageOf(new DataError('a\u001bb'), true).split('\n');
  expect(lines[0]).toBe('DataError: a\\u{1b}b');
  expect(lines.length).toBeGreaterThan(2);
});

test.each([
  ['ENOSPC', 1],
  ['EROFS', 1],
  ['EIO', 1],
  ['ENOENT', 2],
  ['EACCES', 2],
])('a disk that says %s while something is written is exit code %i', (code, expected) => {
  const refuse = () => {
    throw Object.assign(new Error(`${code}: no`), { code, syscall: 'write' });
  };
  const write = () => onDisk('a.txt', refuse);
  expect(write).toThrow(`a.txt: cannot be written: ${code}: no`);
  let error: unknown;
  try {
    write();
  } catch (thrown) {
    error = thrown;
  }
  expect(failureOf(error).exit_code).toBe(expected);
});
