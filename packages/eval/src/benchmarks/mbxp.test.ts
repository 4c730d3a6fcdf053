import { DataError } from '@flex/base';
import { collect } from '@flex/base/testing';
import { formats, type MbxpRow } from '@flex/datasets';
import type { JavaCalls } from '@flex/judge';
import { expect, test } from 'vitest';
import type { Identified } from './from-rows.ts';
import { mbxpJava, mbxpJavaRow } from './mbxp.ts';

const row = {
  task_id: 'MBJP/900',
  language: 'java',
  prompt: 'class Twice {\n    public static int twice(int x) {\n',
  entry_point: 'twice',
  test: '\n\nclass Main {\n    public static void main(String[] args) {\n        Twice.twice(2);\n    }\n}\n',
  canonical_solution: '        return 2 * x;\n    }\n}',
};
const read = (more: object = {}) => {
  const found = formats.mbxp.read({ value: { ...row, ...more }, where: 'rows.jsonl:7', text: '' });
  return mbxpJavaRow(found as Identified<MbxpRow>, 'rows.jsonl:7');
};

test('a program is prompt + completion + test, and is tested by Main of another unit', async () => {
  const benchmark = mbxpJava([read()]);
  const [problem] = await collect(benchmark.problems());
  expect(problem).toMatchObject({ id: 'MBJP/900', canonical: row.canonical_solution });
  const { source, tests } = benchmark.program(problem, { kind: 'completion', text: row.canonical_solution });
  expect(source).toBe(row.prompt + row.canonical_solution);
  const { mainClass, tester, whole } = tests as JavaCalls;
  expect(mainClass).toBe('Main');
  expect(whole).toBe(row.prompt + row.canonical_solution + row.test);
  expect(tester).not.toContain('2 * x');
  expect(tester.split('{').length).toBe(tester.split('}').length);
  expect(tester.endsWith(`    }\n}${row.test}`)).toBe(true);
});

test('an empty completion closes what it leaves open', async () => {
  const benchmark = mbxpJava([read()]);
  const [problem] = await collect(benchmark.problems());
  expect(benchmark.program(problem, { kind: 'completion', text: problem.empty }).source).toBe(
    row.prompt + problem.empty,
  );
});

test.each([null, undefined])('a row may have the solution %s', async (canonical_solution) => {
  const [problem] = await collect(mbxpJava([read({ canonical_solution })]).problems());
  expect(problem.canonical).toBeNull();
});

test.each([
  [{ language: 'python' }, 'MBXP in "python" cannot be judged, only in java'],
  [{ prompt: 'class Twice {' }, 'the prompt must end in the body of a method'],
  [{ language: undefined }, 'MBXP in null cannot be judged, only in java'],
  [{ test: undefined }, 'has no test, which must be a text'],
])('a row with %j is refused', (wrong, message) => {
  expect(() => read(wrong)).toThrow(DataError);
  expect(() => read(wrong)).toThrow(`rows.jsonl:7: ${message}`);
});
