import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ConfigError, DataError } from '@flex/base';
import { jsonl, temporaryFile, temporaryFolder } from '@flex/base/testing';
import { describeShared, shared } from '@flex/fixtures';
import { describe, expect, test } from 'vitest';
import { type ReadCompletionsOptions, readCompletions } from './read-completions.ts';

/** What reading these rows gives; places and messages have the file's name alone. */
async function read(rows: readonly unknown[], options?: ReadCompletionsOptions) {
  const path = temporaryFile('rows.jsonl', jsonl(...rows));
  const found = await readCompletions(path, options);
  return JSON.parse(JSON.stringify(found).replaceAll(path, 'rows.jsonl')) as typeof found;
}

function mbpp(task_id: unknown, more: object = {}) {
  return {
    task_id,
    text: 'Add.',
    code: 'def f():\r\n  pass',
    test_list: ['assert f()', 'assert 1'],
    ...more,
  };
}

/** The one-line message of the error of a kind that reading these rows throws, without its file's folder. */
async function complaint(
  kind: typeof ConfigError | typeof DataError,
  rows: readonly unknown[],
  options?: ReadCompletionsOptions,
) {
  const path = temporaryFile('rows.jsonl', jsonl(...rows));
  const error = await readCompletions(path, options).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(kind);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message.replaceAll(path, 'rows.jsonl');
}

describe('rows are told apart by their keys:', () => {
  test('token ids, with labels or without', async () => {
    const { completions: rows, format } = await read([
      { input_ids: [1, 2] },
      { input_ids: [3], labels: [-100] },
    ]);
    expect(format).toBe('input-ids');
    expect(rows).toEqual([
      { where: 'rows.jsonl:1', inputIds: [1, 2], labels: null },
      { where: 'rows.jsonl:2', inputIds: [3], labels: [-100] },
    ]);
  });

  test.each([
    ['prompt-completion', { prompt: 'a{', completion: 'b}\r\n' }, 'a{', 'b}\r\n'],
    ['text', { text: 'all' }, '', 'all'],
    ['mbpp', mbpp(601), '"""\nAdd.\nassert f()\n"""\n', 'def f():\n  pass'],
    [
      'mbxp',
      { task_id: 'MBJP/601', prompt: 'class A {\n', canonical_solution: '  }\r\n}' },
      'class A {\n',
      '  }\r\n}',
    ],
    [
      'apps',
      { problem_id: 3, question: 'Why?', solutions: '["x = 1\\r\\n", "y"]', starter_code: '' },
      '"""\nWhy?\n"""\n',
      'x = 1\n',
    ],
    [
      'apps',
      { problem_id: 3, question: 'Why?', solutions: ['x'], starter_code: 'def f():' },
      '"""\nWhy?\ndef f():\n"""\n',
      'x',
    ],
    [
      'codesearchnet',
      {
        func_documentation_string: 'Adds.',
        func_code_string: 'def f(): 1',
        whole_func_string: 'def f():\n"""Adds."""\n1',
      },
      '"""\nAdds.\n"""\n',
      'def f(): 1',
    ],
    [
      'codesearchnet',
      { func_documentation_string: 'Adds.', whole_func_string: 'def f(): 1' },
      '"""\nAdds.\n"""\n',
      'def f(): 1',
    ],
    [
      'codesearchnet',
      { docstring: 'Adds.', code: 'def f(): 1', repo: 'r' },
      '"""\nAdds.\n"""\n',
      'def f(): 1',
    ],
  ])('%s', async (format, row, prompt, completion) => {
    const found = await read([row]);
    expect(found.format).toBe(format);
    expect(found.completions).toMatchObject([{ prompt, completion }]);
  });

  test('those without a solution are left out and counted', async () => {
    const rows = ['solved', null, undefined].map((canonical_solution, i) => {
      return {
        task_id: `MBJP/${700 + i}`,
        language: 'java',
        entry_point: 'f',
        prompt: 'p',
        canonical_solution,
      };
    });
    expect(await read(rows)).toMatchObject({
      format: 'mbxp',
      withoutSolution: [
        { where: 'rows.jsonl:2', id: 'MBJP/701' },
        { where: 'rows.jsonl:3', id: 'MBJP/702' },
      ],
      completions: [{ completion: 'solved' }],
    });
    expect(await complaint(DataError, rows.slice(1))).toBe(
      'rows.jsonl: no row of split train has a solution',
    );
  });

  test('a named format takes its own keys and passes over others', async () => {
    const row = { input_ids: [1], attention_mask: [1] };
    expect((await read([row], { format: 'input-ids' })).completions).toMatchObject([
      { inputIds: [1], labels: null },
    ]);
    expect((await read([mbpp(1)], { format: 'text' })).completions).toMatchObject([{ completion: 'Add.' }]);
    expect(await complaint(DataError, [mbpp(1)], { format: 'mbxp' })).toBe(
      'rows.jsonl:1: has no prompt, which must be a text',
    );
  });
});

describe('a split', () => {
  const rows = [1, 11, 600, 601, 974].map((id) => mbpp(id));
  const lines = async (some: readonly unknown[], options?: ReadCompletionsOptions) =>
    (await read(some, options)).completions.map(({ where }) => Number(where.split(':')[1]));

  test('left out is train of rows with MBPP ids, and all of other rows', async () => {
    expect(await read(rows)).toMatchObject({ split: 'train' });
    expect(await lines(rows)).toEqual([4, 5]);
    expect(await read([{ text: 'a' }, { text: 'b' }])).toMatchObject({
      split: 'all',
      completions: { length: 2 },
    });
    expect((await read([{ task_id: 'HumanEval/0', prompt: 'p', canonical_solution: 's' }])).split).toBe(
      'all',
    );
    const without = { text: 'Add.', code: '', test_list: ['assert f()'] };
    expect((await read([without, mbpp(601)])).split).toBe('all');
  });

  test('selects by task id', async () => {
    expect(await lines(rows, { split: 'all' })).toEqual([1, 2, 3, 4, 5]);
    expect(await lines(rows, { split: '11-600' })).toEqual([2, 3]);
    expect(await lines(rows, { split: 'prompt,974' })).toEqual([1, 5]);
    const java = [5, 601].map((id) => ({ task_id: `MBJP/${id}`, prompt: 'p', canonical_solution: 's' }));
    expect(await lines(java, { split: 'prompt' })).toEqual([1]);
    const own = [1, 2, 3].map((task_id) => ({ task_id, prompt: 'p', completion: 'c' }));
    expect(await lines(own, { split: '2-3' })).toEqual([2, 3]);
  });

  test('is by the part that rows say they are in, train where it is left out', async () => {
    const parts = ['train', 'valid', 'test', 'train'].map((partition, i) => {
      return { docstring: 'd', code: 'c', url: `https://host/${i}#L1`, partition };
    });
    expect(await read(parts)).toMatchObject({ split: 'train', completions: { length: 2 } });
    expect(await lines(parts, { split: 'validation' })).toEqual([2]);
    expect(await lines(parts, { split: 'validation,test' })).toEqual([2, 3]);
    expect(await lines(parts, { split: 'all' })).toEqual([1, 2, 3, 4]);
    const hub = parts.map(({ partition }) => {
      return { func_documentation_string: 'd', func_code_string: 'c', split_name: partition };
    });
    expect(await lines(hub, { split: 'test' })).toEqual([3]);
    expect(await complaint(DataError, parts.slice(1, 3))).toBe(
      'rows.jsonl: split train selects no row; its rows are of validation, test',
    );
  });

  test.each([
    ['of ids', [{ text: 'a' }], '1-2', 'rows.jsonl:1: has no task_id, which split 1-2 needs; take all'],
    [
      'of a name',
      [{ text: 'a' }],
      'train',
      'rows.jsonl:1: has no task_id, which split train needs; take all',
    ],
    [
      'that is MBPP’s alone',
      [{ task_id: 7, text: 'a' }],
      'train',
      "rows.jsonl: split train is one of MBPP's, and these are text rows; take all or a range of task ids",
    ],
    [
      'that selects nothing',
      [mbpp(601)],
      '511-600',
      'rows.jsonl: split 511-600 selects no row; its task ids are 601 to 601',
    ],
  ])('%s that the rows cannot give is refused', async (_, some, split, message) => {
    expect(await complaint(DataError, some, { split })).toBe(message);
  });
});

describe('a template', () => {
  test('makes prompt and completion of the fields of a row', async () => {
    const template = { prompt: '# {text} {{{test}}}\n', completion: '{code}\n' };
    expect((await read([mbpp(601)], { template })).completions).toMatchObject([
      { prompt: '# Add. {assert f()}\n', completion: 'def f():\n  pass\n' },
    ]);
  });

  test.each([
    ['{txet}', 'template: {txet} is not a text of rows.jsonl:1; did you mean {text}?'],
    ['{solution}', 'template: {solution} is not a text of rows.jsonl:1; it has text'],
    ['{', 'template: write {{ or }} for a brace, in "{"'],
  ])('%s is refused', async (prompt, message) => {
    const template = { prompt, completion: '{text}' };
    expect(await complaint(ConfigError, [{ text: 'a' }], { template })).toBe(message);
  });

  test('has nothing to fill in of token ids', async () => {
    const template = { prompt: '', completion: 'x' };
    const message = 'template: input-ids rows, as rows.jsonl:1, have no texts to fill in';
    expect(await complaint(ConfigError, [{ input_ids: [1] }], { template })).toBe(message);
  });
});

describe('a source', () => {
  test('may be gzipped, end without a newline, and have blank lines and any text in its strings', async () => {
    const text = 'line\u2028 separator';
    const path = temporaryFile(
      'rows.jsonl.gz',
      gzipSync(`\uFEFF${JSON.stringify({ text })}\r\n\n{"text": "b"}`),
    );
    const { completions } = await readCompletions(path);
    expect(completions).toMatchObject([{ completion: text }, { completion: 'b', where: `${path}:3` }]);
  });

  test('may be a folder of files, in the order of their names, if these do not say several parts', async () => {
    const folder = temporaryFolder();
    const put = (name: string, text: string) =>
      writeFileSync(join(folder, name), gzipSync(jsonl({ docstring: 'd', code: text, partition: 'train' })));
    put('python_train_1.jsonl.gz', 'b');
    put('python_train_0.jsonl.gz', 'a');
    writeFileSync(join(folder, 'README.md'), 'no rows');
    const { completions } = await readCompletions(folder, { split: 'train' });
    expect(completions).toEqual([
      { where: join(folder, 'python_train_0.jsonl.gz:1'), prompt: '"""\nd\n"""\n', completion: 'a' },
      { where: join(folder, 'python_train_1.jsonl.gz:1'), prompt: '"""\nd\n"""\n', completion: 'b' },
    ]);
    put('python_valid_0.jsonl.gz', 'c');
    await expect(readCompletions(folder)).rejects.toThrow(
      /: holds python_\w+.jsonl.gz and python_\w+.jsonl.gz, which may be different parts; name one file/,
    );
  });

  /** A folder in the layout of APPS with these problems, of which 0002 has no solution. */
  function appsFolder(...problems: readonly string[]): string {
    const folder = temporaryFolder();
    for (const problem of problems) {
      mkdirSync(join(folder, problem), { recursive: true });
      writeFileSync(join(folder, problem, 'question.txt'), `${problem}?`);
      if (!problem.endsWith('2')) writeFileSync(join(folder, problem, 'solutions.json'), '["a"]');
    }
    return folder;
  }

  test('may be a folder in the layout of APPS', async () => {
    const folder = appsFolder('0002', '0001');
    const { completions, withoutSolution, format, split } = await readCompletions(folder);
    expect({ format, split }).toEqual({ format: 'apps', split: 'all' });
    expect(withoutSolution).toEqual([{ where: join(folder, '0002'), id: '0002' }]);
    expect(completions).toEqual([
      { where: join(folder, '0001'), prompt: '"""\n0001?\n"""\n', completion: 'a' },
    ]);
  });

  test('of APPS gives its part train, and test only where that is asked for', async () => {
    const both = appsFolder('train/0001', 'test/0003');
    const promptsOf = async (source: string, split?: string) =>
      (await readCompletions(source, { split })).completions.map(
        (found) => 'prompt' in found && found.prompt,
      );
    expect(await promptsOf(both)).toEqual(['"""\ntrain/0001?\n"""\n']);
    expect(await promptsOf(both, 'train')).toEqual(await promptsOf(join(both, 'train')));
    expect(await promptsOf(both, 'test')).toEqual(['"""\ntest/0003?\n"""\n']);
    await expect(promptsOf(join(both, 'train'), 'test')).rejects.toThrow('train: is not test');
    const test = appsFolder('test/0003');
    await expect(readCompletions(test)).rejects.toThrow(
      new ConfigError(`${test}: has no train; it has test`),
    );
  });

  test.each([
    ['no object', ['[[1, 2]]'], 'rows.jsonl:1: a row must be a JSON object, got [1,2]'],
    ['null', ['null'], 'rows.jsonl:1: a row must be a JSON object, got null'],
    [
      'of no known shape',
      [{ question: 'q', answer: 'a' }],
      'rows.jsonl:1: has the keys question, answer; known are input-ids {input_ids, labels?}, messages {',
    ],
    [
      'with a misspelt key',
      [{ input_ids: [1], lables: [1] }],
      'rows.jsonl:1: has the keys input_ids, lables; known are',
    ],
    [
      'of another shape than the first',
      [{ text: 'a' }, { prompt: 'a', completion: 'b' }],
      'rows.jsonl:2: has the keys prompt, completion; the rows before it are text {text}',
    ],
    ['with a number for a text', [{ text: 3 }], 'rows.jsonl:1: text must be a text, got 3'],
    [
      'without a solution',
      [mbpp(601, { code: undefined })],
      'rows.jsonl:1: has no code, which must be a text',
    ],
    [
      'without a test',
      [mbpp(601, { test_list: [] })],
      'rows.jsonl:1: test_list must have a test, got an empty list',
    ],
    [
      'with half a token',
      [{ input_ids: [1, 2.5] }],
      'rows.jsonl:1: input_ids must be a list of whole numbers, got [1,2.5]',
    ],
    [
      'with solutions that are no list',
      [{ problem_id: 1, question: 'q', solutions: 'x' }],
      'rows.jsonl:1: solutions: is not JSON',
    ],
  ])('with a row that is %s is refused with its line', async (_, rows, message) => {
    expect(await complaint(DataError, rows)).toContain(message);
  });

  test('without rows, or without problems, is refused', async () => {
    expect(await complaint(DataError, [])).toBe('rows.jsonl: has no rows');
    await expect(readCompletions('no-such.jsonl')).rejects.toThrow('no-such.jsonl: no such file or folder');
    await expect(readCompletions(temporaryFolder())).rejects.toThrow(
      /is a folder without files of rows or APPS problems/,
    );
  });
});

describeShared('data', 'of the published data', () => {
  const from = (file: string, split?: string) => readCompletions(shared(`data/${file}`), { split });

  test('MBPP has 374 rows in train, 500 in test, 90 in validation, 10 in prompt', async () => {
    const splits = ['train', 'test', 'validation', 'prompt', 'all'];
    const found = await Promise.all(splits.map((split) => from('mbpp.jsonl', split)));
    expect(found.map(({ completions }) => completions.length)).toEqual([374, 500, 90, 10, 974]);
  });

  test('MBJP has 874 rows with a solution and 92 without', async () => {
    const { completions, withoutSolution, format } = await from('mbjp.jsonl', 'all');
    expect([format, completions.length, withoutSolution.length]).toEqual(['mbxp', 874, 92]);
  });

  test('HumanEval reads gzipped, and APPS as a folder', async () => {
    const humanEval = await from('HumanEval.jsonl.gz');
    expect([humanEval.format, humanEval.completions.length]).toEqual(['humaneval', 164]);
    expect((await from('apps')).completions).toHaveLength(5);
  });
});
