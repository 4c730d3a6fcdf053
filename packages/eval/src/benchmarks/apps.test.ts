import { DataError } from '@flex/base';
import { collect } from '@flex/base/testing';
import { type AppsRow, formats } from '@flex/datasets';
import { describe, expect, test } from 'vitest';
import { apps, type JudgedAppsRow, judgedAppsRow } from './apps.ts';
import { callPrelude, callTests, withPrelude } from './apps-calls.ts';
import type { Identified } from './from-rows.ts';

const streams = { inputs: ['1\n', ['2', '3']], outputs: ['a\n', ['b', 'c']] };
const calls = { inputs: [[1]], outputs: [[2]], fn_name: 'f' };
const row = {
  problem_id: 7,
  question: 'Why?',
  input_output: streams as unknown,
  solutions: ['print(1)', 'pass'],
};

function read(more: object = {}): JudgedAppsRow | null {
  const value = { ...row, ...more };
  const found = formats.apps.read({ value, where: 'rows.jsonl:7', text: JSON.stringify(value) });
  return judgedAppsRow(found as Identified<AppsRow>, 'rows.jsonl:7');
}

async function open(more: object = {}) {
  const benchmark = apps([read(more) as JudgedAppsRow]);
  const [problem] = await collect(benchmark.problems());
  return { benchmark, problem };
}

describe('the prompt', () => {
  test('says how input comes', async () => {
    const { problem } = await open();
    expect(problem.prompt).toBe('\nQUESTION:\nWhy?\nUse Standard Input format\nANSWER:\n');
  });

  test('shows the starter code', async () => {
    const { problem } = await open({ input_output: calls, starter_code: 'def f(x):\n\t' });
    expect(problem.prompt).toBe('\nQUESTION:\nWhy?\ndef f(x):\n\t\nUse Call-Based format\nANSWER:\n');
  });
});

describe('a program', () => {
  test("that reads standard input is the answer alone, with the cases' texts or lines", async () => {
    const { benchmark, problem } = await open();
    for (const kind of ['completion', 'program'] as const) {
      expect(benchmark.program(problem, { kind, text: 'print(1)' })).toEqual({
        language: 'py',
        source: 'print(1)',
        tests: {
          kind: 'transcripts',
          cases: [
            { input: '1\n', output: 'a\n' },
            { input: '2\n3', output: 'b\nc' },
          ],
        },
      });
    }
  });

  test('shares its tests, which may be large, with all others of its problem', async () => {
    for (const more of [{}, { input_output: calls }]) {
      const { benchmark, problem } = await open(more);
      const testsOf = (text: string) => benchmark.program(problem, { kind: 'program', text }).tests;
      expect(testsOf('def f(x): return 1')).toBe(testsOf('def f(x): return 2'));
    }
  });

  test('that is called has the prelude before it', async () => {
    const { benchmark, problem } = await open({ input_output: calls });
    const text = 'class Solution:\n    def f(self, x): pass\n';
    expect(benchmark.program(problem, { kind: 'completion', text })).toEqual({
      language: 'py',
      source: withPrelude(text),
      tests: callTests(JSON.stringify(calls), 'Solution.f'),
    });
    expect(benchmark.options.prelude).toBe(callPrelude);
  });
});

describe('a row', () => {
  test.each([[''], [null], [undefined], ['{"inputs": [], "outputs": []}'], [{ inputs: [], outputs: [] }]])(
    'without a case, such as %j, cannot be judged',
    (input_output) => {
      expect(read({ input_output })).toBeNull();
    },
  );

  test.each([undefined, null, '', [], '[]'])('may have the solutions %j', async (solutions) => {
    const { problem } = await open({ solutions });
    expect(problem.canonical).toBeNull();
  });

  test('has its first solution as the canonical one', async () => {
    const { problem } = await open({});
    expect(problem.canonical).toBe('print(1)');
  });

  test('of a call has no name where that is empty, as some publish it', async () => {
    const { problem } = await open({ input_output: { ...streams, fn_name: '' } });
    expect(problem.prompt).toContain('Standard Input');
  });

  test.each([
    [{ input_output: '{' }, 'input_output: is not JSON'],
    [{ input_output: [1] }, 'input_output must be a JSON object, got [1]'],
    [{ input_output: { inputs: ['1'] } }, 'input_output must have lists inputs and outputs of one length'],
    [{ input_output: { inputs: ['1'], outputs: [] } }, 'input_output must have lists'],
    [
      { input_output: { ...streams, outputs: ['a', 5] } },
      'input_output: outputs[1] must be a text or a list of lines, got 5',
    ],
    [{ input_output: { ...streams, inputs: ['a', ['1', 5]] } }, 'input_output: inputs[1] must be a text'],
    [
      { input_output: { ...calls, fn_name: 'f()' } },
      'input_output: fn_name must be the name of a function, got "f()"',
    ],
    [{ input_output: { ...calls, fn_name: 5 } }, 'input_output: fn_name must be'],
  ])('with %j is refused', (wrong, message) => {
    expect(() => read(wrong)).toThrow(DataError);
    expect(() => read(wrong)).toThrow(`rows.jsonl:7: ${message}`);
  });
});
