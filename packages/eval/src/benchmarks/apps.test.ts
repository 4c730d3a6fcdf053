import { describe, expect, test } from 'vitest';
import { DataError } from '../errors.ts';
import { collect } from '../testing/temporary-folder.ts';
import { type AppsRow, apps, readAppsRow } from './apps.ts';
import { callPrelude, callTests, withPrelude } from './apps-calls.ts';

const streams = { inputs: ['1\n', ['2', '3']], outputs: ['a\n', ['b', 'c']] };
const calls = { inputs: [[1]], outputs: [[2]], fn_name: 'f' };
const row = {
  problem_id: 7,
  question: 'Why?',
  input_output: streams as unknown,
  solutions: ['print(1)', 'pass'],
};

function read(more: object = {}): AppsRow | null {
  const whole = { ...row, ...more };
  return readAppsRow(whole, 'rows.jsonl:7', JSON.stringify(whole));
}

async function open(more: object = {}) {
  const benchmark = apps([read(more) as AppsRow]);
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

  test('is called with numbers as they are written in the row', async () => {
    const json =
      '{"task_id": 1, "question": "", "input_output": ' +
      '{"inputs": [[1.0, 12345678901234567890]], "outputs": [1], "fn_name": "f"}}';
    const big = readAppsRow(JSON.parse(json), 'a:1', json) as AppsRow;
    expect(big.inputOutput).toContain('[[1.0, 12345678901234567890]]');
  });
});

describe('a row', () => {
  test('is the same with its parts as JSON text', async () => {
    const texts = { input_output: JSON.stringify(streams), solutions: JSON.stringify(row.solutions) };
    expect(read(texts)).toEqual(read());
    expect(read()?.solutions).toEqual(row.solutions);
  });

  test('has the id task_id or problem_id', () => {
    expect([read()?.id, read({ task_id: 'x/1' })?.id]).toEqual(['7', 'x/1']);
  });

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
    [{ question: 3 }, 'question must be a text'],
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
    [{ solutions: [1] }, 'solutions must be a list of texts, or JSON text of one, got [1]'],
    [{ solutions: '[' }, 'solutions: is not JSON'],
    [{ solutions: 5 }, 'solutions must be a list'],
    [{ starter_code: 5 }, 'starter_code must be a text'],
    [{ problem_id: undefined }, 'problem_id must be a text or a whole number'],
  ])('with %j is refused', (wrong, message) => {
    expect(() => read(wrong)).toThrow(DataError);
    expect(() => read(wrong)).toThrow(`rows.jsonl:7: ${message}`);
  });
});
