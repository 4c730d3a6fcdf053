import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ConfigError, DataError } from '@flex/base';
import { temporaryFile, temporaryFolder } from '@flex/base/testing';
import { describe, expect, test } from 'vitest';
import { type ReadOptions, readRows } from './read-rows.ts';

const shared = join(import.meta.dirname, '../../../../../shared/data');

function jsonl(...rows: readonly unknown[]): string {
  return rows.map((row) => `${typeof row === 'string' ? row : JSON.stringify(row)}\n`).join('');
}

function read(rows: readonly unknown[], options?: ReadOptions) {
  return readRows(temporaryFile('rows.jsonl', jsonl(...rows)), options);
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

/** The one-line message of the error of a kind that reading these rows throws. */
function complaint(
  kind: typeof ConfigError | typeof DataError,
  rows: readonly unknown[],
  options?: ReadOptions,
) {
  try {
    read(rows, options);
  } catch (error) {
    expect(error).toBeInstanceOf(kind);
    expect((error as Error).message).not.toContain('\n');
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

describe('rows are told apart by their keys:', () => {
  test('token ids, with labels or without', () => {
    const { rows, format } = read([{ input_ids: [1, 2] }, { input_ids: [3], labels: [-100] }]);
    expect(format).toBe('input-ids');
    expect(rows).toEqual([
      { where: 'rows.jsonl:1', taskId: null, inputIds: [1, 2], labels: null },
      { where: 'rows.jsonl:2', taskId: null, inputIds: [3], labels: [-100] },
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
  ])('%s', (format, row, prompt, completion) => {
    const found = read([row]);
    expect(found.format).toBe(format);
    expect(found.rows).toMatchObject([{ prompt, completion }]);
  });

  test('those without a solution are left out and counted', () => {
    const rows = ['solved', null, undefined].map((canonical_solution, i) => {
      return {
        task_id: `MBJP/${700 + i}`,
        language: 'java',
        entry_point: 'f',
        prompt: 'p',
        canonical_solution,
      };
    });
    expect(read(rows)).toMatchObject({
      format: 'mbxp',
      withoutSolution: 2,
      rows: [{ completion: 'solved' }],
    });
    expect(complaint(DataError, rows.slice(1))).toBe('rows.jsonl: no row of split train has a solution');
  });

  test('a named format takes its own keys and passes over others', () => {
    const row = { input_ids: [1], attention_mask: [1] };
    expect(read([row], { format: 'input-ids' }).rows).toMatchObject([{ inputIds: [1], labels: null }]);
    expect(read([mbpp(1)], { format: 'text' }).rows).toMatchObject([{ completion: 'Add.' }]);
    expect(complaint(DataError, [mbpp(1)], { format: 'mbxp' })).toBe(
      'rows.jsonl:1: prompt must be a text, got nothing',
    );
  });
});

describe('a split', () => {
  const rows = [1, 11, 600, 601, 974].map((id) => mbpp(id));
  const ids = (options?: ReadOptions) => read(rows, options).rows.map(({ taskId }) => taskId);

  test('left out is train of rows with MBPP ids, and all of other rows', () => {
    expect(read(rows)).toMatchObject({ split: 'train' });
    expect(ids()).toEqual([601, 974]);
    expect(read([{ text: 'a' }, { text: 'b' }])).toMatchObject({ split: 'all', rows: { length: 2 } });
    expect(read([{ task_id: 'HumanEval/0', prompt: 'p', canonical_solution: 's' }]).split).toBe('all');
  });

  test('selects by task id', () => {
    expect(ids({ split: 'all' })).toEqual([1, 11, 600, 601, 974]);
    expect(ids({ split: '11-600' })).toEqual([11, 600]);
    expect(ids({ split: 'prompt,974' })).toEqual([1, 974]);
    const java = [5, 601].map((id) => ({ task_id: `MBJP/${id}`, prompt: 'p', canonical_solution: 's' }));
    expect(read(java, { split: 'prompt' }).rows).toMatchObject([{ taskId: 5 }]);
    const own = [1, 2, 3].map((task_id) => ({ task_id, prompt: 'p', completion: 'c' }));
    expect(read(own, { split: '2-3' }).rows).toMatchObject([{ taskId: 2 }, { taskId: 3 }]);
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
  ])('%s that the rows cannot give is refused', (_, some, split, message) => {
    expect(complaint(DataError, some, { split })).toBe(message);
  });
});

describe('a template', () => {
  test('makes prompt and completion of the fields of a row', () => {
    const template = { prompt: '# {text} {{{test}}}\n', completion: '{code}\n' };
    expect(read([mbpp(601)], { template }).rows).toMatchObject([
      { prompt: '# Add. {assert f()}\n', completion: 'def f():\n  pass\n' },
    ]);
  });

  test.each([
    ['{txet}', 'template: {txet} is not a text of rows.jsonl:1; did you mean {text}?'],
    ['{solution}', 'template: {solution} is not a text of rows.jsonl:1; it has text'],
    ['{', 'template: write {{ or }} for a brace, in "{"'],
  ])('%s is refused', (prompt, message) => {
    expect(complaint(ConfigError, [{ text: 'a' }], { template: { prompt, completion: '{text}' } })).toBe(
      message,
    );
  });

  test('has nothing to fill in of token ids', () => {
    const template = { prompt: '', completion: 'x' };
    const message = 'template: rows of token ids, as rows.jsonl:1, have no texts to fill in';
    expect(complaint(ConfigError, [{ input_ids: [1] }], { template })).toBe(message);
  });
});

describe('a source', () => {
  test('may be gzipped, end without a newline, and have blank lines and any text in its strings', () => {
    const text = 'line\u2028 separator';
    const rows = `\uFEFF${JSON.stringify({ text })}\r\n\n{"text": "b"}`;
    const { rows: found } = readRows(temporaryFile('rows.jsonl.gz', gzipSync(rows)));
    expect(found).toMatchObject([{ completion: text }, { completion: 'b', where: 'rows.jsonl.gz:3' }]);
  });

  test('may be a folder in the layout of APPS', () => {
    const folder = temporaryFolder();
    for (const id of ['0002', '0001']) mkdirSync(join(folder, id));
    writeFileSync(join(folder, '0001', 'question.txt'), 'One?');
    writeFileSync(join(folder, '0001', 'solutions.json'), '["a"]');
    writeFileSync(join(folder, '0002', 'question.txt'), 'Two?');
    const { rows, withoutSolution, format } = readRows(folder);
    expect({ format, withoutSolution }).toEqual({ format: 'apps', withoutSolution: 1 });
    expect(rows).toMatchObject([{ taskId: 1, prompt: '"""\nOne?\n"""\n', completion: 'a' }]);
  });

  test.each([
    ['no JSON', ['{"text": "a"}', '{"text": '], 'rows.jsonl:2: is not JSON: '],
    ['no object', ['[1, 2]'], 'rows.jsonl:1: a row must be a JSON object, got a list [1,2]'],
    ['null', ['null'], 'rows.jsonl:1: a row must be a JSON object, got null'],
    [
      'of no known shape',
      [{ question: 'q', answer: 'a' }],
      'rows.jsonl:1: has the keys question, answer; known rows are {input_ids, labels?}, MBPP {',
    ],
    [
      'with a misspelt key',
      [{ input_ids: [1], lables: [1] }],
      'rows.jsonl:1: has the keys input_ids, lables; known rows are',
    ],
    [
      'of another shape than the first',
      [{ text: 'a' }, { prompt: 'a', completion: 'b' }],
      'rows.jsonl:2: has the keys prompt, completion; the rows before it are text rows',
    ],
    ['with a number for a text', [{ text: 3 }], 'rows.jsonl:1: text must be a text, got 3'],
    [
      'without a test',
      [mbpp(601, { test_list: [] })],
      'rows.jsonl:1: test_list must have a test, got an empty list',
    ],
    [
      'with half a token',
      [{ input_ids: [1, 2.5] }],
      'rows.jsonl:1: input_ids must be a list of whole numbers, got a list [1,2.5]',
    ],
    [
      'with solutions that are no list',
      [{ problem_id: 1, question: 'q', solutions: 'x' }],
      'rows.jsonl:1: solutions must be a list of texts, got "x"',
    ],
  ])('with a row that is %s is refused with its line', (_, rows, message) => {
    expect(complaint(DataError, rows)).toContain(message);
  });

  test('without rows, of broken gzip, or not UTF-8 is refused', () => {
    expect(complaint(DataError, [])).toBe('rows.jsonl: has no rows');
    const whole = gzipSync('{"text": "a"}');
    const torn = temporaryFile('rows.jsonl.gz', whole.subarray(0, whole.length - 9));
    expect(() => readRows(torn)).toThrow(/^rows\.jsonl\.gz: is not whole gzip: /);
    const latin = temporaryFile('rows.jsonl', Buffer.from('{"text": "\xe9"}', 'latin1'));
    expect(() => readRows(latin)).toThrow(/^rows\.jsonl:1: is not UTF-8/);
  });

  test('that is missing, a folder without problems, or Parquet is refused', () => {
    expect(() => readRows('no-such.jsonl')).toThrow(new ConfigError('no-such.jsonl: no such file or folder'));
    expect(() => readRows(temporaryFolder())).toThrow(/is a folder without problems/);
    expect(() => readRows(temporaryFile('a.parquet', ''))).toThrow(/Parquet is not built yet/);
  });
});

describe.skipIf(!existsSync(shared))('of the published data', () => {
  test('MBPP has 374 rows in train, 500 in test, 90 in validation, 10 in prompt', () => {
    const counts = ['train', 'test', 'validation', 'prompt', 'all'].map(
      (split) => readRows(join(shared, 'mbpp.jsonl'), { split }).rows.length,
    );
    expect(counts).toEqual([374, 500, 90, 10, 974]);
  });

  test('MBJP has 874 rows with a solution and 92 without', () => {
    const { rows, withoutSolution, format } = readRows(join(shared, 'mbjp.jsonl'), { split: 'all' });
    expect([format, rows.length, withoutSolution]).toEqual(['mbxp', 874, 92]);
  });

  test('HumanEval reads gzipped, and APPS as a folder', () => {
    expect(readRows(join(shared, 'HumanEval.jsonl.gz')).rows).toHaveLength(164);
    expect(readRows(join(shared, 'apps/train')).rows).toHaveLength(5);
  });
});
