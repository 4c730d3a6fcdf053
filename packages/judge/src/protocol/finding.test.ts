import { expect, test } from 'vitest';
import { cpp } from '../languages/cpp.ts';
import { python } from '../languages/python.ts';
import { rust } from '../languages/rust.ts';
import type { BoxEnd } from '../sandbox/box.ts';
import { findingOfEnd } from './finding.ts';

const end: BoxEnd = {
  code: 1,
  signal: null,
  stopped: null,
  stdout: '',
  stderr: '',
  seconds: 1,
  cpuSeconds: 1,
  memoryBytes: 1,
};

test('a limit and a forbidden system call count before anything the program says', () => {
  const said = { ...end, stderr: 'AssertionError' };
  const { signs } = python;
  expect(findingOfEnd(said, signs, '').failure).toBe('assertion');
  expect(findingOfEnd({ ...said, stopped: 'memory' }, signs, '').failure).toBe('memory');
  expect(findingOfEnd({ ...said, stopped: 'cpu' }, signs, '').failure).toBe('timeout');
  expect(findingOfEnd({ ...said, code: 159 }, signs, '').failure).toBe('blocked');
  expect(findingOfEnd({ ...said, code: 0 }, signs, '').failure).toBe('exited');
});

test('out of memory is read from standard error alone', () => {
  const { signs } = cpp;
  const words = "terminate called after throwing an instance of 'std::bad_alloc'";
  expect(findingOfEnd({ ...end, code: 134, stderr: words }, signs, '').verdict).toBe('memory');
  expect(findingOfEnd({ ...end, code: 134 }, signs, words).verdict).toBe('failed');
});

test('a program that says nothing is told by its code or its signal', () => {
  const { signs } = rust;
  expect(findingOfEnd({ ...end, code: 7 }, signs, '').detail).toBe('ended with code 7');
  expect(findingOfEnd({ ...end, code: 139 }, signs, '').detail).toBe('killed by SIGSEGV');
});
