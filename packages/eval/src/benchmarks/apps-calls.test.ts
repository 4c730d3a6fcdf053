import { hasPython, runPython } from '@flex/fixtures';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { callTarget, callTests, withPrelude } from './apps-calls.ts';

/** How the program ends when its tests follow it: '' for a pass, or the last line of the error. */
function ending(source: string, name: string, inputOutput: string): string {
  const { inProcess } = callTests(inputOutput, callTarget(source, name));
  return runPython(withPrelude(source) + inProcess).error;
}

const cases = (...pairs: [args: unknown[], expected: unknown][]): string =>
  JSON.stringify({ inputs: pairs.map(([args]) => args), outputs: pairs.map(([, expected]) => expected) });

describe.runIf(hasPython)('a call-based program', () => {
  test.each<[string, string, string]>([
    ['a value', 'return 2 * x', cases([[2], 4], [[3], 6])],
    ['a value alone in a list', 'return 2 * x', cases([[2], [4]])],
    ['a list', 'return [x]', cases([[2], [2]])],
    ['a list alone in a list', 'return [x, x]', cases([[2], [[2, 2]]])],
    ['a tuple for a list', 'return x, x', cases([[2], [2, 2]])],
    ['tuples in a list for lists', 'return [(x, x), (x,)]', cases([[2], [[[2, 2], [2]]]])],
    ['a tuple in a dict for a list', 'return {"a": (x,)}', cases([[2], { a: [2] }])],
    [
      'numbers as keys, which JSON has not',
      'return {k + 1: v for k, v in x.items()}',
      cases([[{ 1: 5 }], { 2: 5 }]),
    ],
    ['numbers as keys in a list', 'return {1: 5}', cases([[0], [{ 1: 5 }]])],
    ['other keys', 'return x["a"]', cases([[{ a: 'b', 1: 0 }], 'b'])],
    ['true and false', 'return not x', cases([[true], false], [[false], true])],
    ['null', 'return None', cases([[1], null], [[1], [null]])],
    ['an empty list', 'return []', cases([[1], []], [[1], [[]]])],
    [
      'texts of all characters',
      'return x',
      cases([['"\\\n\r\u2028\u0000é😀\ud800'], '"\\\n\r\u2028\u0000é😀\ud800']),
    ],
    [
      'numbers that no double holds',
      'return x + 1',
      '{"inputs":[[123456789012345678901]],"outputs":[123456789012345678902]}',
    ],
    ['a fraction that is whole', 'return str(x)', '{"inputs":[[1.0]],"outputs":["1.0"]}'],
  ])('passes for %s', (_, body, inputOutput) => {
    expect(ending(`def f(x):\n    ${body}\n`, 'f', inputOutput)).toBe('');
  });

  test.each([
    ['another value', 'return 5', cases([[2], 4]), 'AssertionError: case 0: of (2) came 5, expected 4'],
    [
      'a later case',
      'return 4',
      cases([[2], 4], [[3], [6]]),
      'AssertionError: case 1: of (3) came 4, expected 6',
    ],
    ['the first of a list', 'return [2]', cases([[2], [2, 3]]), 'AssertionError: case 0'],
    ['a set for a list', 'return {2}', cases([[2], [2]]), 'AssertionError: case 0'],
    [
      'a text for a number',
      'return "4"',
      cases([[2], 4]),
      "AssertionError: case 0: of (2) came '4', expected 4",
    ],
    ['a fraction that is near', 'return 0.1 + 0.2', cases([[2], 0.3]), 'AssertionError: case 0'],
    [
      'long values, shown short',
      'return "a" * 999',
      cases([['b'.repeat(99)], 4]),
      `of ('${'b'.repeat(76)}...) came`,
    ],
    ['too many arguments', 'return x', cases([[2, 3], 2]), 'TypeError: f() takes 1 positional argument'],
    ['an exception', 'return 1 / x', cases([[0], 0]), 'ZeroDivisionError'],
  ])('fails for %s', (_, body, inputOutput, error) => {
    expect(ending(`def f(x):\n    ${body}\n`, 'f', inputOutput)).toContain(error);
  });

  test('is a method where only a class has it, on a new object each time', () => {
    const method =
      'class Solution:\n    def __init__(self): self.n = 0\n' +
      '    def f(self, x):\n        self.n += x\n        return self.n\n';
    expect(ending(method, 'f', cases([[2], 2], [[2], 2]))).toBe('');
  });

  test('takes common imports for granted, after its own from __future__', () => {
    const body =
      'def f(x: List[int]) -> Optional[int]:\n    return heapq.heappop(x) + gcd(4, len(Counter(x)))\n';
    for (const head of [
      '',
      'from __future__ import annotations\n',
      '# text\nfrom __future__ import (division,\n  annotations)\n',
    ]) {
      expect(ending(head + body, 'f', cases([[[1, 3]], 2]))).toBe('');
    }
    expect(ending('from __future__ import annotations', 'f', cases([[1], 1]))).toContain(
      "name 'f' is not defined",
    );
  });

  test('may use any of the names that the tests use', () => {
    for (const name of ['json', 'cases', 'check', 'plain', 'value', 'number']) {
      expect(ending(`def ${name}(x):\n    return x\n`, name, cases([[1], 1]))).toBe('');
    }
  });
});

test('the tests pass for any value that the program gives back as it came', () => {
  const value = fc.jsonValue({ noUnicodeString: false }).filter((given) => !Object.is(given, -0));
  const identity = 'def f(x):\n    return x\n';
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (values) => {
      expect(ending(identity, 'f', cases(...values.map((v): [unknown[], unknown] => [[v], v])))).toBe('');
    }),
    { numRuns: hasPython ? 10 : 0 },
  );
});

test.each([
  ['def f(x): pass', 'f'],
  ['class Solution:\n    def f(self): pass', 'Solution.f'],
  ['class Solution:\n    pass\ndef f(x): pass', 'f'],
  ['class Solution2:\n    def f(self): pass', 'f'],
  ['# class Solution\nf = len', 'f'],
  ['class Solution(object):\n    def ff(self): pass\ndef ff(): pass', 'Solution.f'],
  ['', 'f'],
])('in %j the function is %s', (source, target) => {
  expect(callTarget(source, 'f')).toBe(target);
});

test('the isolated tests name the method alone, which is bound for them', () => {
  const { code, entryPoints } = callTests(cases([[1], 2]), 'Solution.f');
  expect(entryPoints).toEqual(['Solution.f']);
  expect(code).toContain(' f(*_arguments)');
});
