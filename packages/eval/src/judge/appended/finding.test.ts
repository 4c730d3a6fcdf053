import { expect, test } from 'vitest';
import { languages } from '../../language.ts';
import type { BoxEnd } from '../../sandbox/box.ts';
import { findingOfEnd } from './finding.ts';
import { runners } from './judge-appended.ts';

const end: BoxEnd = {
  code: 1,
  signal: null,
  stopped: null,
  stdout: '',
  stderr: '',
  seconds: 1,
  cpuSeconds: 1,
  residentBytes: 1,
};

test('a limit and a forbidden system call count before anything the program says', () => {
  const said = { ...end, stderr: 'AssertionError' };
  const { signs } = runners.py;
  expect(findingOfEnd(said, signs, '').failure).toBe('assertion');
  expect(findingOfEnd({ ...said, stopped: 'memory' }, signs, '').failure).toBe('memory');
  expect(findingOfEnd({ ...said, stopped: 'cpu' }, signs, '').failure).toBe('timeout');
  expect(findingOfEnd({ ...said, code: 159 }, signs, '').failure).toBe('blocked');
  expect(findingOfEnd({ ...said, code: 0 }, signs, '').failure).toBe('exited');
});

test('out of memory is read from standard error alone', () => {
  const { signs } = runners.cpp;
  const words = "terminate called after throwing an instance of 'std::bad_alloc'";
  expect(findingOfEnd({ ...end, code: 134, stderr: words }, signs, '').verdict).toBe('memory');
  expect(findingOfEnd({ ...end, code: 134 }, signs, words).verdict).toBe('failed');
});

test('a program that says nothing is told by its code or its signal', () => {
  const { signs } = runners.rs;
  expect(findingOfEnd({ ...end, code: 7 }, signs, '').detail).toBe('ended with code 7');
  expect(findingOfEnd({ ...end, code: 139 }, signs, '').detail).toBe('killed by SIGSEGV');
});

const hostile = [
  ...['\n', ' ', '\t', 'a', '<', '<> ', '1', ':1', 'a:1:1:', '} ', 'Error\n', 'Error ', "thread 'main' "],
  ...[
    'panicked at ',
    "panicked at 'assertion ",
    'thread panicked at \n',
    'assertion ',
    ' at x line 1',
    ' at ',
  ],
  ...['lua: x:1: near ', 'stdin:1: ', '-:1: syntax ', 'syntax error ', 'actual: ', '\nexpected: ', 'memory '],
  ...[
    'memory allocation of 1',
    '-- test case 1',
    'void main(',
    '\n x_test.go:1',
    'Fatal error',
    'SyntaxError: \n',
  ],
];

test.each(languages)('what a hostile program of %s says is read in no time', (language) => {
  const started = performance.now();
  for (const words of hostile) {
    const stderr = words.repeat(65_536 / words.length);
    findingOfEnd({ ...end, stderr }, runners[language].signs, stderr);
  }
  expect(performance.now() - started).toBeLessThan(5000);
});
