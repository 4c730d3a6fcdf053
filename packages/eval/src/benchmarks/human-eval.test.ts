import { DataError } from '@flex/base';
import { collect } from '@flex/base/testing';
import { formats, type HumanEvalRow } from '@flex/datasets';
import { hasPython, runPython } from '@flex/fixtures';
import type { PythonCalls } from '@flex/judge';
import { describe, expect, test } from 'vitest';
import type { Problem } from '../benchmark.ts';
import type { Identified } from './from-rows.ts';
import { type HumanEvalPrompt, humanEval } from './human-eval.ts';

const row = {
  task_id: 'HumanEval/900',
  prompt: '\ndef twice(x):\n    return 2 * x\n\n\ndef four(x):\n    """Four times x."""\n  \n',
  entry_point: 'four',
  canonical_solution: '    return twice(twice(x))\n',
  test: 'def check(candidate):\n    assert candidate(3) == twice(6)',
};
const read = (more: object = {}) =>
  formats.humanEval.read({
    value: { ...row, ...more },
    where: 'rows.jsonl:7',
    text: '',
  }) as Identified<HumanEvalRow>;

async function open(prompt: HumanEvalPrompt) {
  const benchmark = humanEval([read()], { prompt });
  const [problem] = await collect(benchmark.problems());
  return { benchmark, problem };
}

describe.each(['raw', 'stripped'] as const)('with the %s prompt', (prompt) => {
  const run = async (text: (problem: Problem) => string) => {
    const { benchmark, problem } = await open(prompt);
    const { source, tests } = benchmark.program(problem, { kind: 'completion', text: text(problem) });
    return runPython(source + (tests as PythonCalls).inProcess).error;
  };

  test.runIf(hasPython)('the canonical solution passes, and the empty one fails', async () => {
    expect(await run(({ canonical }) => canonical ?? '')).toBe('');
    expect(await run(({ empty }) => empty)).toContain('AssertionError');
  });

  test('nothing stands between the prompt and the completion', async () => {
    const { benchmark, problem } = await open(prompt);
    const { source } = benchmark.program(problem, { kind: 'completion', text: '\n    return 1' });
    expect(source).toBe(`${problem.prompt}\n    return 1`);
  });
});

test('the stripped prompt has no blanks around it; its solution begins with what was stripped', async () => {
  const { problem } = await open('stripped');
  expect(problem.prompt).toBe(row.prompt.trim());
  expect(problem.canonical).toBe(`\n  \n${row.canonical_solution}`);
});

test('a prompt with megabytes of blanks within is stripped at once', async () => {
  const prompt = `def four(x):${' '.repeat(1_000_000)}pass\n`;
  const started = performance.now();
  const [{ empty }] = await collect(humanEval([read({ prompt })], { prompt: 'stripped' }).problems());
  expect(empty).toBe('\n    return None\n');
  expect(performance.now() - started).toBeLessThan(5000);
});

test('the tests have the prompt around them, and call the candidate by its name', async () => {
  const { benchmark, problem } = await open('stripped');
  expect(benchmark.program(problem, { kind: 'program', text: 'whole' })).toEqual({
    language: 'py',
    source: 'whole',
    tests: {
      kind: 'python-calls',
      setup: row.prompt,
      code: `${row.test}\ncheck(four)\n`,
      entryPoints: ['four'],
      inProcess: `\n${row.test}\ncheck(four)\n`,
    },
  });
});

test('the prompt counts among the options, and does not change the digest of the data', async () => {
  const [raw, stripped] = [humanEval([read()]).options, humanEval([read()], { prompt: 'stripped' }).options];
  expect(stripped).toEqual({ ...raw, prompt: 'stripped' });
  expect(humanEval([read({ test: 'pass' })]).options.data).not.toBe(raw.data);
});

test('rows of one id, and no rows, are refused', () => {
  expect(() => humanEval([read(), read()])).toThrow(DataError);
  expect(() => humanEval([])).toThrow('humaneval: has no rows');
});
