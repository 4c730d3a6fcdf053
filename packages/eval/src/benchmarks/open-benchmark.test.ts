import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ConfigError, DataError } from '@flex/base';
import { collect, jsonl, temporaryFile, temporaryFolder } from '@flex/base/testing';
import { describeShared, hasPython, runPython, shared } from '@flex/fixtures';
import { sameOutput, type Transcripts } from '@flex/judge';
import { describe, expect, test } from 'vitest';
import { checkBenchmark } from '../testing/check-benchmark.ts';
import { type OpenBenchmarkOptions, openBenchmark } from './open-benchmark.ts';

const plus = { prompt: 'def f(x):\n', entry_point: 'f', canonical_solution: '    return x\n', atol: 0 };
const rows = {
  humaneval: { task_id: 'HumanEval/0', prompt: 'def f():\n', entry_point: 'f', test: 'def check(c): pass' },
  mbpp: { task_id: 11, text: 'Add.', code: 'def f(): pass', test_list: ['assert f()'] },
  'multipl-e:lua': {
    name: 'HumanEval_0_f',
    language: 'lua',
    prompt: 'local function f()\n',
    tests: 't',
    stop_tokens: [],
  },
  'mbxp:java': {
    task_id: 'MBJP/1',
    language: 'java',
    prompt: 'class A {\n  static int f() {\n',
    entry_point: 'f',
    test: 'class Main {}',
  },
  'humaneval+': { task_id: 'HumanEval/0', ...plus, base_input: [[1]], plus_input: [[2]] },
  'mbpp+': { task_id: 'Mbpp/11', ...plus, base_input: [[1]], plus_input: [[2]] },
  apps: { problem_id: 1, question: 'Why?', input_output: { inputs: ['1'], outputs: ['2'] } },
};
const files = {
  humaneval: 'HumanEval.jsonl',
  mbpp: 'mbpp.jsonl',
  'multipl-e:lua': 'multipl-e/humaneval-lua.jsonl',
  'mbxp:java': 'mbjp.jsonl',
  'humaneval+': 'HumanEvalPlus.jsonl',
  'mbpp+': 'MbppPlus.jsonl',
  apps: 'apps',
};
const names = Object.keys(rows) as (keyof typeof rows)[];
const mbppRows = (...ids: unknown[]) => ids.map((task_id) => ({ ...rows.mbpp, task_id }));

async function idsOf(options: OpenBenchmarkOptions): Promise<string[]> {
  const benchmark = await openBenchmark(options);
  return (await collect(benchmark.problems())).map(({ id }) => id);
}

/** The one-line message of the error of this kind that opening throws. */
async function complaint(kind: typeof ConfigError | typeof DataError, options: OpenBenchmarkOptions) {
  const error = await openBenchmark(options).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(kind);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

describe.each(names)('%s', (name) => {
  const text = jsonl(rows[name]);

  test('is the same by name and data, by its file alone, and from the data folder, gzipped too', async () => {
    const dataFolder = temporaryFolder();
    mkdirSync(join(dataFolder, 'multipl-e'));
    const zipped = temporaryFolder();
    mkdirSync(join(zipped, 'multipl-e'));
    writeFileSync(join(dataFolder, files[name]), text);
    writeFileSync(join(zipped, `${files[name]}.gz`), gzipSync(text));
    const opened = await Promise.all([
      openBenchmark({ name, data: temporaryFile('a.jsonl', text) }),
      openBenchmark({ name: temporaryFile('b.jsonl', text) }),
      openBenchmark({ name, dataFolder }),
      openBenchmark({ name, dataFolder: zipped }),
    ]);
    if (name !== 'apps') opened.push(await openBenchmark({ name, data: dataFolder }));
    expect(new Set(opened.map((benchmark) => benchmark.name))).toEqual(new Set([name]));
    expect(new Set(opened.map(({ options }) => JSON.stringify(options))).size).toBe(1);
  });

  test('keeps the contract of benchmarks', async () => {
    const benchmark = await openBenchmark({ name, data: temporaryFile('a.jsonl', text) });
    expect(await checkBenchmark(benchmark)).toMatchObject({ problems: 1, judged: false });
  });

  test('refuses rows of every other', async () => {
    for (const other of names.filter((given) => given !== name)) {
      const data = temporaryFile('a.jsonl', jsonl(rows[other]));
      const message = await complaint(DataError, { name, data });
      expect(message).toMatch(/\.jsonl(?::1: is a row|: its rows are) of \S+, and \S+ was asked for$/);
      expect([message.startsWith(data), message.endsWith(`and ${name} was asked for`)]).toEqual([true, true]);
    }
  });

  test('refuses a file that has no rows', async () => {
    const data = temporaryFile('a.jsonl', '\n');
    expect(await complaint(DataError, { name, data })).toContain('a.jsonl: has no rows');
  });

  test('refuses a second row of the same id, and rows that are no objects, with their place', async () => {
    const twice = temporaryFile('a.jsonl', jsonl(rows[name], rows[name]));
    const message = await complaint(DataError, { name, data: twice });
    expect(message).toMatch(new RegExp(`^${twice}:2: has the id .* of ${twice}:1; ids must be unique$`));
    for (const wrong of ['[1]', '5', 'null', '"x"']) {
      const data = temporaryFile('a.jsonl', jsonl(rows[name], wrong));
      const complained = await complaint(DataError, { name, data });
      expect(complained.startsWith(`${data}:2: a row must be a JSON object, got `)).toBe(true);
    }
  });
});

describe('a name', () => {
  test.each([
    ['humanevl', 'is it humaneval?'],
    ['human-eval', 'is it humaneval?'],
    ['multipl-e:jav', 'is it multipl-e:java?'],
    ['mbxp', 'Known are humaneval, mbpp, humaneval+, mbpp+, multipl-e:LANG (LANG one of py, java'],
    ['numpy', 'and a path FILE.jsonl'],
  ])('%s is unknown', async (name, hint) => {
    expect(await complaint(ConfigError, { name })).toContain(hint);
  });

  test('without data says where they were looked for', async () => {
    const dataFolder = temporaryFolder();
    expect(await complaint(ConfigError, { name: 'mbpp', dataFolder })).toContain(
      `no mbpp.jsonl in ${dataFolder}`,
    );
    expect(await complaint(ConfigError, { name: 'mbpp' })).toContain('give the path of the data');
    expect(await complaint(ConfigError, { name: 'mbpp', data: 'no/file' })).toBe(
      'no/file: no such file or folder',
    );
    expect(await complaint(ConfigError, { name: 'no/file.jsonl' })).toContain('no such file');
  });

  test('that is a path takes no data', async () => {
    expect(await complaint(ConfigError, { name: 'a.jsonl', data: 'b.jsonl' })).toContain('leave b.jsonl out');
  });

  test('of a file of other rows is refused with the shapes that are known', async () => {
    const name = temporaryFile('a.jsonl', jsonl({ id: 1, text: '' }));
    const message = await complaint(DataError, { name });
    expect(message).toMatch(new RegExp(`^${name}:1: has the keys id, text; known are .*mbpp \\{task_id`));
  });
});

describe('a split', () => {
  const data = (...ids: unknown[]) => temporaryFile('mbpp.jsonl', jsonl(...mbppRows(...ids)));

  test('of MBPP is test unless said, or all where there is none of it', async () => {
    expect(await idsOf({ name: 'mbpp', data: data(1, 10, '11', 'Mbpp/510', 511) })).toEqual(['11', '510']);
    expect(await idsOf({ name: 'mbpp', data: data(1, 601) })).toEqual(['1', '601']);
    expect(await idsOf({ name: 'mbpp', data: data(1, 11, 601), split: 'all' })).toEqual(['1', '11', '601']);
    expect(await idsOf({ name: 'mbpp', data: data(1, 11, 601), split: 'train,1-5' })).toEqual(['1', '601']);
  });

  test('decides the digest by its rows, not by its name', async () => {
    const file = data(11, 12, 600);
    const digest = async (split: string | null) => (await openBenchmark({ name: file, split })).options.data;
    expect(await digest('test')).toBe(await digest('11-12'));
    expect(await digest(null)).toBe(await digest('test'));
    expect(await digest('all')).not.toBe(await digest('test'));
  });

  test('that is unknown or selects nothing is refused', async () => {
    const name = data(11);
    expect(await complaint(ConfigError, { name, split: 'trian' })).toContain('is it train?');
    expect(await complaint(DataError, { name, split: 'train' })).toBe(
      `${name}: split train selects no row; its task ids are 11 to 11`,
    );
    const other = temporaryFile('a.jsonl', jsonl(rows.humaneval));
    expect(await complaint(DataError, { name: other, split: 'test' })).toContain(
      "split test is one of MBPP's, and these are humaneval rows",
    );
    expect(await idsOf({ name: other, split: '0-3' })).toEqual(['HumanEval/0']);
  });
});

describe('a prompt', () => {
  test("is one of the benchmark's", async () => {
    const name = temporaryFile('a.jsonl', jsonl(rows.humaneval));
    expect((await openBenchmark({ name, prompt: 'stripped' })).options.prompt).toBe('stripped');
    expect(await complaint(ConfigError, { name, prompt: 'striped' })).toContain(
      'raw, stripped; got "striped", is it',
    );
    const fixed = temporaryFile('a.jsonl', jsonl(rows['multipl-e:lua']));
    expect(await complaint(ConfigError, { name: fixed, prompt: 'raw' })).toContain('is fixed, leave it out');
  });

  test('few-shot takes its examples from outside the split', async () => {
    const name = temporaryFile('a.jsonl', jsonl(...mbppRows(1, 2, 3, 4, 11)));
    expect(await idsOf({ name, prompt: 'few-shot' })).toEqual(['11']);
    expect(await complaint(DataError, { name, prompt: 'few-shot', split: 'all' })).toContain('task 2 solved');
    const without = temporaryFile('a.jsonl', jsonl(...mbppRows(2, 3, 11)));
    expect(await complaint(DataError, { name: without, prompt: 'few-shot' })).toContain('task 4 is one');
  });
});

describe('an APPS folder', () => {
  /** A folder of problems train/0001, train/0002 and, if asked, test/0003. */
  function appsFolder(withTest: boolean): string {
    const folder = temporaryFolder();
    for (const id of ['train/0002', 'train/0001', ...(withTest ? ['test/0003'] : [])]) {
      const problem = join(folder, 'apps', id);
      mkdirSync(problem, { recursive: true });
      writeFileSync(join(problem, 'question.txt'), 'Why?');
      writeFileSync(join(problem, 'input_output.json'), JSON.stringify(rows.apps.input_output));
      writeFileSync(join(problem, 'solutions.json'), '["print(2)"]');
    }
    return folder;
  }

  test('is found from itself, its parent, a split, a problem and the data folder', async () => {
    const folder = appsFolder(false);
    for (const data of [folder, join(folder, 'apps'), join(folder, 'apps/train')]) {
      expect(await idsOf({ name: 'apps', data })).toEqual(['0001', '0002']);
    }
    expect(await idsOf({ name: 'apps', dataFolder: folder })).toEqual(['0001', '0002']);
    expect(await idsOf({ name: join(folder, 'apps') })).toEqual(['0001', '0002']);
    expect(await idsOf({ name: 'apps', data: join(folder, 'apps/train/0002') })).toEqual(['0002']);
    expect(await idsOf({ name: 'apps', data: folder, split: '2' })).toEqual(['0002']);
  });

  test('gives its test split where it has one, unless train is asked for', async () => {
    const data = appsFolder(true);
    expect(await idsOf({ name: 'apps', data })).toEqual(['0003']);
    expect(await idsOf({ name: 'apps', data, split: 'test' })).toEqual(['0003']);
    expect(await idsOf({ name: 'apps', data, split: 'train' })).toEqual(['0001', '0002']);
    expect(await idsOf({ name: 'apps', data: join(data, 'apps/train'), split: 'train' })).toHaveLength(2);
  });

  test('without the split that is asked for, or without problems, is refused', async () => {
    const data = appsFolder(false);
    expect(await complaint(ConfigError, { name: 'apps', data, split: 'test' })).toContain(
      'has no test; it has train',
    );
    const train = join(data, 'apps/train');
    expect(await complaint(ConfigError, { name: 'apps', data: train, split: 'test' })).toContain(
      'is not test',
    );
    const empty = temporaryFolder();
    expect(await complaint(ConfigError, { name: 'apps', data: empty })).toContain(
      'without files of rows or APPS problems',
    );
  });

  test('gives the digest of the same rows in a file', async () => {
    const problems = ['0001', '0002'].map((problem_id) => ({
      ...rows.apps,
      problem_id,
      solutions: ['print(2)'],
    }));
    const [folder, file] = await Promise.all([
      openBenchmark({ name: 'apps', data: appsFolder(false) }),
      openBenchmark({ name: 'apps', data: temporaryFile('a.jsonl', jsonl(...problems)) }),
    ]);
    expect(file.options.data).toBe(folder.options.data);
  });

  test('with a damaged file is refused with its place', async () => {
    const data = appsFolder(false);
    writeFileSync(join(data, 'apps/train/0002/input_output.json'), '{"inputs":');
    const complained = await complaint(DataError, { name: 'apps', data });
    expect(complained.startsWith(`${join(data, 'apps/train/0002')}: input_output: is not JSON`)).toBe(true);
  });

  test('may hold problems without a case, which are left out and counted', async () => {
    const data = appsFolder(false);
    const lines: string[] = [];
    cpSync(join(data, 'apps/train/0001/question.txt'), join(data, 'apps/train/0009/question.txt'));
    expect(await idsOf({ name: 'apps', data, warn: (line) => lines.push(line) })).toEqual(['0001', '0002']);
    expect(lines).toEqual(['apps: rows left out because they have no test case: 1']);
  });
});

describeShared('data', 'the published data', () => {
  const dataFolder = shared('data');

  test.each<[string, string | null, number, number]>([
    ['humaneval', 'raw', 164, 0],
    ['humaneval', 'stripped', 164, 0],
    ['mbpp', 'docstring', 500, 0],
    ['mbpp', 'few-shot', 500, 0],
    ['mbxp:java', null, 966, 92],
    ['multipl-e:java', null, 158, 158],
    ['multipl-e:go', null, 154, 154],
    ['multipl-e:sh', null, 158, 158],
    ['apps', null, 5, 0],
  ])(
    'of %s with the prompt %s keep the contract: %d problems, %d without a solution',
    async (name, prompt, n, without) => {
      const benchmark = await openBenchmark({ name, prompt, dataFolder });
      const report = await checkBenchmark(benchmark);
      expect(report).toEqual({ problems: n, withoutCanonical: without, judged: false });
    },
  );

  test.each<[string, number]>([
    ['train', 374],
    ['validation', 90],
    ['test', 500],
    ['prompt', 10],
    ['all', 974],
  ])('of MBPP have the split %s of %d tasks', async (split, n) => {
    expect(await idsOf({ name: 'mbpp', dataFolder, split })).toHaveLength(n);
  });

  test.runIf(hasPython)('of APPS have solutions whose output is the same as expected', async () => {
    const benchmark = await openBenchmark({ name: 'apps', dataFolder });
    let cases = 0;
    for (const problem of await collect(benchmark.problems())) {
      const { source, tests } = benchmark.program(problem, {
        kind: 'completion',
        text: problem.canonical ?? '',
      });
      if (tests.kind === 'python-calls') expect(runPython(source + tests.inProcess).error).toBe('');
      for (const { input, output } of (tests as Transcripts).cases ?? []) {
        expect(sameOutput(runPython(source, input).output, output)).toBe(true);
        cases++;
      }
    }
    expect(cases).toBe(5);
  });
});
