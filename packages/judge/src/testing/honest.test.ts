import { DataError } from '@flex/base';
import { expect, test } from 'vitest';
import { honestProgram, parseHonest } from './honest.ts';
import { writeOut } from './repeats.ts';

const python =
  '##### one\nassert one() == 1\n===== plainly\none = lambda: 1\n===== by repetition\none = lambda: «2×#+»0\n';

test('a file of honest programs has problems, and solutions of each', () => {
  const found = parseHonest(
    'python-basics.txt',
    `${python}##### two\nassert two() == 2\n===== x\ntwo = lambda: 2\n`,
  );
  expect(found.map(({ problem, name }) => `${problem} ${name}`)).toEqual([
    'one plainly',
    'one by repetition',
    'two x',
  ]);
  expect(found[1]).toMatchObject({
    file: 'python-basics',
    language: 'python',
    source: 'one = lambda: 0+1+0\n',
  });
  expect(honestProgram(found[2])).toEqual({
    language: 'py',
    source: 'two = lambda: 2\n',
    tests: {
      kind: 'python-calls',
      setup: '',
      code: 'assert two() == 2\n',
      entryPoints: ['two'],
      inProcess: '\nassert two() == 2\n',
    },
  });
});

test("a Java solution is the body of its problem's method", () => {
  const [honest] = parseHonest(
    'java-basics.txt',
    '##### one\nlong one()\n    assert(one() == 1l);\n===== x\n        return 1;\n',
  );
  const { source, tests } = honestProgram(honest);
  expect(source).toMatch(
    /class Problem \{\n {4}public static long one\(\) \{\n {8}return 1;\n\s*\}\s*\}\s*$/,
  );
  expect(tests).toMatchObject({ kind: 'java-calls', mainClass: 'Problem' });
});

test.each([
  ['python.txt', python, /must be named python-\*\.txt or java-\*\.txt/],
  ['python-a.txt', 'x\n', /python-a\.txt: must begin with "##### NAME"/],
  ['python-a.txt', `x\n${python}`, /must begin with "##### NAME"/],
  ['python-a.txt', '##### one\nassert one()\n', /python-a\.txt: one: must begin with "===== NAME"/],
  ['python-a.txt', '##### one\nassert one()\n===== plainly\n\n', /one: plainly: must have a text/],
])('%s %j is refused', (name, content, message) => {
  expect(() => parseHonest(name, content)).toThrow(DataError);
  expect(() => parseHonest(name, content)).toThrow(message);
});

test('what repeats is written out', () => {
  expect(writeOut('a«3×b#,»c«2×(»')).toBe('ab0,b1,b2,c((');
  expect(writeOut('a « b × c »')).toBe('a « b × c »');
});
