import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ConfigError, DataError } from '@flex/base';
import { collect, jsonl, temporaryFile, temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Problem } from './benchmark.ts';
import { readSamples } from './samples.ts';

const problem = (id: string): Problem => ({
  id,
  language: 'py',
  prompt: 'p',
  stop: [],
  canonical: null,
  empty: '',
});
const problems = ['HumanEval/0', 'HumanEval/1', '11', '0007', 'HumanEval_23_strlen'].map(problem);

const read = (content: string | Uint8Array) =>
  collect(readSamples(temporaryFile('samples.jsonl', content), problems));
const readRows = (...rows: unknown[]) => read(jsonl(...rows));

describe('a folder', () => {
  const folderOf = (files: Readonly<Record<string, string | Uint8Array>>) => {
    const folder = temporaryFolder();
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    return folder;
  };
  const readFolder = async (files: Readonly<Record<string, string | Uint8Array>>) =>
    (await collect(readSamples(folderOf(files), problems))).map(({ problem: { id }, completion }) => [
      id,
      completion,
    ]);

  test("of MultiPL-E's, a file a problem, is read without the results beside them", async () => {
    const of = (name: string) => JSON.stringify({ name, completions: [`${name} a`, `${name} b`] });
    const read = await readFolder({
      '11.json.gz': gzipSync(of('11')),
      '11.results.json.gz': gzipSync('{"results": []}'),
      'HumanEval_23_strlen.json': of('HumanEval_23_strlen'),
      'notes.txt': 'none of it',
    });
    expect(read).toEqual(
      ['11', 'HumanEval_23_strlen'].flatMap((id) =>
        ['a', 'b'].map((end) => [id, { kind: 'completion', text: `${id} ${end}` }]),
      ),
    );
  });
  test("of evalplus', a folder of programs a problem, is read in the order of numbers", async () => {
    const names = ['HumanEval_0/10.py', 'HumanEval_0/2.py', 'HumanEval_1/0.py', 'Mbpp_11/0.py'];
    const read = await readFolder(Object.fromEntries(names.map((name) => [name, `# ${name}`])));
    expect(read).toEqual(
      [
        ['HumanEval/0', names[1]],
        ['HumanEval/0', names[0]],
        ['HumanEval/1', names[2]],
        ['11', names[3]],
      ].map(([id, name]) => [id, { kind: 'program', text: `# ${name}` }]),
    );
  });
  test('without a sample is refused, as is a program that is no text', async () => {
    await expect(readFolder({ 'a.txt': '' })).rejects.toThrow('has no rows');
    await expect(readFolder({ 'HumanEval_0/0.py': Buffer.from([255]) })).rejects.toThrow(
      'HumanEval_0/0.py: is not UTF-8',
    );
    await expect(readFolder({ 'HumanEvil_0/0.py': '' })).rejects.toThrow('is it HumanEval/0?');
  });
});

describe('a row', () => {
  test.each([
    [{ task_id: 'HumanEval/1', completion: 'c', extra: 1 }, 'HumanEval/1', 'completion', 'c'],
    [{ task_id: 'HumanEval/1', program: 'c' }, 'HumanEval/1', 'program', 'c'],
    [{ task_id: 'Mbpp/11', solution: 'c' }, '11', 'program', 'c'],
    [{ task_id: 'MBPP/11', completion: '' }, '11', 'completion', ''],
    [{ task_id: 11, completion: 'c' }, '11', 'completion', 'c'],
    [{ task_id: 7, completion: 'c' }, '0007', 'completion', 'c'],
    [
      { task_id: '11', completion: 'c', verdict: 'failed', seconds: 1, failure: 'assertion' },
      '11',
      'completion',
      'c',
    ],
  ])('%j is a completion, and is kept as it is', async (row, id, kind, text) => {
    expect(await readRows(row)).toEqual([
      {
        problem: problems.find((known) => known.id === id),
        completion: { kind, text },
        row,
      },
    ]);
  });

  test('of MultiPL-E is a sample for each completion', async () => {
    const samples = await readRows({ name: 'HumanEval_23_strlen', language: 'lua', completions: ['a', 'b'] });
    expect(samples.map(({ completion }) => completion.text)).toEqual(['a', 'b']);
    expect(samples[1].row).toEqual({ task_id: 'HumanEval_23_strlen', completion: 'b' });
  });

  test('that was judged missing gives none', async () => {
    const rows = [
      { task_id: '11', verdict: 'missing', seconds: 0 },
      { task_id: '11', completion: 'c' },
    ];
    expect(await readRows(...rows)).toHaveLength(1);
  });

  test('of a problem may come many times, in any order', async () => {
    const ids = ['11', 'HumanEval/1', '11', 'HumanEval/0', '11'];
    const samples = await readRows(...ids.map((task_id, i) => ({ task_id, completion: `${i}` })));
    expect(samples.map((sample) => sample.problem.id)).toEqual(ids);
    expect(samples.map(({ completion }) => completion.text)).toEqual(['0', '1', '2', '3', '4']);
  });
});

test.each([
  ['of megabytes', 'H'.repeat(3_000_000), 'unknown task id "HHH'],
  ['of zeros', `${'0'.repeat(3_000_000)}x`, 'unknown task id "000'],
  ['with escapes', '\u001b[31m', 'unknown task id "\\u001b[31m"'],
])('an unknown id %s is refused at once, and shown short', async (_, task_id, message) => {
  const started = performance.now();
  const error = await readRows({ task_id, completion: '' }).catch((thrown: Error) => thrown);
  expect(error).toBeInstanceOf(DataError);
  expect((error as DataError).message).toContain(message);
  expect((error as DataError).message.length).toBeLessThan(400);
  expect(performance.now() - started).toBeLessThan(3000);
});

test('lists of programs go to the problems in order', async () => {
  const lists = [['a', 'b'], [], ['c']];
  for (const content of [
    JSON.stringify(lists),
    JSON.stringify(lists, null, 1),
    gzipSync(JSON.stringify(lists)),
  ]) {
    const samples = await read(content);
    expect(
      samples.map((sample) => [sample.problem.id, sample.completion.kind, sample.completion.text]),
    ).toEqual([
      ['HumanEval/0', 'program', 'a'],
      ['HumanEval/0', 'program', 'b'],
      ['11', 'program', 'c'],
    ]);
    expect(samples[2].row).toEqual({ task_id: '11', program: 'c' });
  }
});

test('the rows of samples can be read again, with the same completions', async () => {
  const id = fc.constantFrom(...problems.map((known) => known.id));
  const row = fc.oneof(
    fc.record({ task_id: id, completion: fc.string() }),
    fc.record({ task_id: id, program: fc.string() }),
    fc.record({ task_id: id, solution: fc.string() }),
    fc.record({ name: id, completions: fc.array(fc.string()) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1 }), fc.boolean(), async (rows, zip) => {
      const text = jsonl(...rows);
      const first = await read(zip ? gzipSync(text) : text);
      fc.pre(first.length > 0);
      const again = await read(
        jsonl(...first.map((sample) => ({ ...sample.row, verdict: 'passed', seconds: 1 }))),
      );
      expect(again.map((sample) => [sample.problem, sample.completion])).toEqual(
        first.map((sample) => [sample.problem, sample.completion]),
      );
    }),
    { numRuns: 30 },
  );
});

test('samples come before the file is read to its end', async () => {
  const rows = readSamples(
    temporaryFile('a.jsonl', `${jsonl({ task_id: '11', completion: 'c' })}not JSON\n`),
    problems,
  );
  expect((await rows.next()).value?.completion.text).toBe('c');
  await expect(rows.next()).rejects.toThrow('a.jsonl:2: is not JSON');
});

describe('a file is refused, with the place, for', () => {
  const good = { task_id: '11', completion: 'c' };
  test.each<[string, unknown, string]>([
    ['a line that is torn', '{"task_id": "11", "compl', 'is not JSON'],
    ['a row that is no object', '"x"', 'a row must be a JSON object, got "x"'],
    [
      'an unknown id',
      { task_id: 'HumanEval/2', completion: 'c' },
      'unknown task id "HumanEval/2"; is it HumanEval/0?',
    ],
    [
      'an id far from all',
      { task_id: 'x', completion: 'c' },
      'unknown task id "x"; ids are like HumanEval/0, Hum',
    ],
    ['no id', { completion: 'c' }, 'has no task_id, which must be a text or a whole number'],
    [
      'an id that is a list',
      { task_id: [], completion: 'c' },
      'task_id must be a text or a whole number, got []',
    ],
    ['no completion', { task_id: '11' }, 'has none of completion, program, solution; its keys are task_id'],
    ['a misspelt key', { task_id: '11', completoin: 'c' }, 'is "completoin" meant to be completion?'],
    [
      'two completions',
      { ...good, solution: 'c' },
      'has completion and solution, of which a row may have one',
    ],
    ['a completion that is no text', { task_id: '11', completion: 3 }, 'completion must be a text, got 3'],
    ['a completion that is null', { task_id: '11', completion: null }, 'completion must be a text, got null'],
    ['completions that are no list', { name: '11', completions: 'c' }, 'completions must be a list of texts'],
    [
      'completions that are no texts',
      { name: '11', completions: [1] },
      'completions must be a list of texts, got [1]',
    ],
    ['a verdict without a completion', { task_id: '11', verdict: 'failed' }, 'has none of completion'],
  ])('%s', async (_, row, message) => {
    const error = await readRows(good, row).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataError);
    expect((error as Error).message).toContain(`samples.jsonl:2: `);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).not.toContain('\n');
  });

  test.each([
    [
      'more lists than problems',
      JSON.stringify(Array(6).fill(['a'])),
      'samples.jsonl:1: is list 6, and there are 5',
    ],
    ['a list of no texts', '[["a"],\n[1]]', 'samples.jsonl:2: a list must hold programs as texts, got 1'],
    ['no rows', '', 'samples.jsonl: has no rows'],
    ['no lists', '[]', 'samples.jsonl: has no rows'],
  ])('%s', async (_, content, message) => {
    await expect(read(content)).rejects.toThrow(DataError);
    await expect(read(content)).rejects.toThrow(message);
  });

  test('its absence', async () => {
    await expect(collect(readSamples('no/file.jsonl', problems))).rejects.toThrow(ConfigError);
  });
});
