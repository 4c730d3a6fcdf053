import { ConfigError, DataError } from '@flex/base';
import { collect } from '@flex/base/testing';
import { formats, type MbppRow } from '@flex/datasets';
import { hasPython, runPython } from '@flex/fixtures';
import { judge, type PythonCalls } from '@flex/judge';
import { withoutSandbox } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import type { Identified } from './from-rows.ts';
import { type MbppOptions, mbpp } from './mbpp.ts';

const row = {
  task_id: 11,
  text: 'Add one,\r\nplease.',
  code: 'def one(x):\r\n\treturn x + start',
  test_setup_code: 'start = 1\r\n',
  test_list: ['assert one(1) == 2', 'assert one(2) == 3'],
  challenge_test_list: ['assert False'],
};
const read = (more: object = {}) =>
  formats.mbpp.read({ value: { ...row, ...more }, where: 'rows.jsonl:7', text: '' }) as Identified<MbppRow>;
const examples = [1, 2, 3, 4].map((task_id) =>
  read({ task_id, text: `Task ${task_id}.`, code: `c = ${task_id}` }),
);

async function open(options: MbppOptions, more: object = {}) {
  const benchmark = mbpp([read(more)], options);
  const [problem] = await collect(benchmark.problems());
  return { benchmark, problem };
}

describe('the prompt', () => {
  test('docstring shows the task and its first test', async () => {
    const { problem } = await open({});
    expect(problem.prompt).toBe('"""\nAdd one,\nplease.\nassert one(1) == 2\n"""\n');
  });

  test('all-tests shows every test', async () => {
    const { problem } = await open({ prompt: 'all-tests' });
    expect(problem.prompt).toBe('"""\nAdd one,\nplease.\nassert one(1) == 2\nassert one(2) == 3\n"""\n');
  });

  test('few-shot shows tasks 2, 3 and 4 solved, and then the task', async () => {
    const { problem } = await open({ prompt: 'few-shot', examples });
    const parts = problem.prompt.split('[BEGIN]\n');
    expect(parts.map((part) => /Task \d|Add one/.exec(part)?.[0])).toEqual([
      'Task 2',
      'Task 3',
      'Task 4',
      'Add one',
      undefined,
    ]);
    expect(parts[1]).toMatch(/^c = 2\n\[DONE\]\n\nYou are an expert/);
    expect(parts[3]).toContain(`${row.test_list.join('\n')}\n`);
    expect(problem.stop).toEqual(['[DONE]']);
  });

  test('few-shot is refused where an example is missing or unsolved, or is asked for', () => {
    const open = (shown: typeof examples, task_id = 11) =>
      mbpp([read({ task_id })], { prompt: 'few-shot', examples: shown });
    expect(() => open(examples.slice(2))).toThrow('task 2 is one, which the data lacks');
    expect(() => open([...examples.slice(0, 3), { ...examples[3], code: null }])).toThrow(DataError);
    expect(() => open(examples, 3)).toThrow('mbpp: prompt few-shot shows task 3 solved');
  });

  test('and its examples count in the options', async () => {
    const all = [
      (await open({})).benchmark,
      (await open({ prompt: 'all-tests' })).benchmark,
      (await open({ prompt: 'few-shot', examples })).benchmark,
      (await open({ prompt: 'few-shot', examples: examples.map((e) => ({ ...e, text: 'Else.' })) }))
        .benchmark,
    ];
    expect(new Set(all.map(({ options }) => JSON.stringify(options))).size).toBe(all.length);
    expect((await open({ examples })).benchmark.options).toEqual(all[0].options);
  });
});

describe('a program', () => {
  test('is prompt + completion after a docstring, and the completion alone after few-shot', async () => {
    for (const prompt of ['docstring', 'all-tests', 'few-shot'] as const) {
      const { benchmark, problem } = await open({ prompt, examples });
      const { source } = benchmark.program(problem, { kind: 'completion', text: 'code' });
      expect(source).toBe(prompt === 'few-shot' ? 'code' : `${problem.prompt}code`);
      expect(benchmark.program(problem, { kind: 'program', text: 'whole' }).source).toBe('whole');
    }
  });

  test('is tested by test_list alone, after the setup, with \\n for line ends', async () => {
    const { benchmark, problem } = await open({});
    expect(problem.canonical).toBe('def one(x):\n\treturn x + start\n');
    expect(benchmark.program(problem, { kind: 'completion', text: '' }).tests).toEqual({
      kind: 'python-calls',
      setup: 'start = 1',
      code: 'assert one(1) == 2\nassert one(2) == 3\n',
      entryPoints: ['one'],
      inProcess: '\nstart = 1\nassert one(1) == 2\nassert one(2) == 3\n',
    });
  });

  test.runIf(hasPython)('passes if it is the solution, and fails if it is empty', async () => {
    const { benchmark, problem } = await open({});
    const errors = [problem.canonical ?? '', problem.empty].map((text) => {
      const { source, tests } = benchmark.program(problem, { kind: 'completion', text });
      return runPython(source + (tests as PythonCalls).inProcess).error;
    });
    expect(errors[0]).toBe('');
    expect(errors[1]).toContain("NameError: name 'one' is not defined");
  });

  test('binds only functions of the solution that the tests call, called like builtins or not', async () => {
    const code =
      'import re\ndef sum(a):\n  def inner(): pass\n  return a\ndef helper(): pass\nclass Pair: pass';
    const { benchmark, problem } = await open(
      {},
      { code, test_list: ['assert sum(Pair) == inner(sumhelper())'] },
    );
    const { tests } = benchmark.program(problem, { kind: 'completion', text: '' });
    expect((tests as PythonCalls).entryPoints).toEqual(['sum']);
  });

  test.each([
    [['assert max([1, 2]) == 2', 'assert max( [3]) == 3'], ['max']],
    [['assert sum(10) == 8', 'assert sum(len("ab")) == 3'], ['sum']],
    [['assert not any([0])', 'assert (any ([1]))'], ['any']],
    [['assert set(pairs([1])) == set([1])'], []],
    [['assert sorted(find([1])) == [1]', 'assert sorted(find([2])) == [2]'], []],
    [['assert max([1]) == 1', 'assert min([1]) == 1'], []],
    [['assert greet("max(1)") == "sum(2)"'], []],
    [['assert math.sum([1]) == 1'], []],
    [['assert True'], []],
  ])('binds without a solution a builtin that is all that is tested: %j', async (tests, expected) => {
    const { benchmark, problem } = await open({}, { code: null, test_list: tests });
    const program = benchmark.program(problem, { kind: 'completion', text: '' });
    expect((program.tests as PythonCalls).entryPoints).toEqual(expected);
  });

  test.skipIf(withoutSandbox).each([
    ['max', 'max([1, 5, 2]) == 5', 'return sorted(x)[-1]', 'return x[0]'],
    ['sum', 'sum(10, 15) == 6', 'return 6', 'return 25'],
  ])('without a solution passes a right %s, and no wrong one', async (name, claim, right, wrong) => {
    const { benchmark, problem } = await open({}, { code: null, test_list: [`assert ${claim}`] });
    const verdicts = [right, wrong].map(async (body) => {
      const text = `def ${name}(x, y=0): ${body}\n`;
      return (await judge(benchmark.program(problem, { kind: 'completion', text }))).verdict;
    });
    expect(await Promise.all(verdicts)).toEqual(['passed', 'failed']);
  });
});

test('a row that is not in the benchmark has no program', async () => {
  const { benchmark, problem } = await open({});
  expect(() => benchmark.program({ ...problem, id: '12' }, { kind: 'program', text: '' })).toThrow(
    ConfigError,
  );
});
