import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { someInputs } from '@flex/base/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readResults } from './read-results.ts';
import type { Results } from './results.ts';
import { writeResultFolder } from './testing/result-folder.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-results-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const marks = { 'HumanEval/0': '+-', 'HumanEval/1': '-?', 'HumanEval/2': '++' };

/** Throws DataError with one line that says all of `words`. */
function expectRefused(path: string, ...words: string[]): void {
  let message = '';
  try {
    readResults(path);
  } catch (error) {
    expect(error).toBeInstanceOf(DataError);
    message = (error as Error).message;
  }
  expect(message).not.toContain('\n');
  for (const word of words) expect(message).toContain(word);
  expect(message).not.toBe('');
}

/** Changes results.json. */
function edit(change: (results: Record<string, unknown>) => void): void {
  const path = join(folder, 'results.json');
  const results = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  change(results);
  writeFileSync(path, JSON.stringify(results));
}

describe('a result folder', () => {
  test('reads back as it was written, problem by problem', () => {
    writeResultFolder(folder, { marks, text: (id, mark, i) => `\u2028${id}\r\n${mark}${i}\n` });
    const { results, problems } = readResults(folder);
    expect(results['pass@1']).toBe(0.5);
    expect(problems.map(({ id, samples }) => [id, samples.map(({ verdict }) => verdict)])).toEqual([
      ['HumanEval/0', ['passed', 'failed']],
      ['HumanEval/1', ['failed', 'missing']],
      ['HumanEval/2', ['passed', 'passed']],
    ]);
    expect(problems[0].samples[1].completion).toBe('\u2028HumanEval/0\r\n-1\n');
  });
  test('may have whole programs by either name, ids that are numbers, empty lines, and further keys', () => {
    writeResultFolder(folder, { marks: { 11: '+', 12: '-' }, provenance: null });
    const path = join(folder, 'samples.jsonl');
    const [first, second] = readFileSync(path, 'utf8').trim().split('\n');
    const program = first.replace('"task_id":"11","completion"', '"x":[1],"task_id":11,"program"');
    writeFileSync(path, `${program}\n\n${second.replace('"completion"', '"solution"')}`);
    const { problems } = readResults(folder);
    expect(problems[0]).toMatchObject({ id: '11', samples: [{ x: [1], program: '11 + 0' }] });
    expect(problems[1].samples[0].solution).toBe('12 - 0');
  });
  test('from before every k had an interval has those that its samples give', () => {
    writeResultFolder(folder, { marks, k: [2] });
    const { results } = readResults(folder);
    edit((old) => {
      delete old.intervals;
      Object.assign(old, { ci95: [0.1, 0.2], languages: { py: { n: 3, 'pass@1': 0.5 } } });
    });
    expect(readResults(folder).results).toEqual(results);
  });
  test('from before provenance was recorded has none', () => {
    expect(readResults(writeResultFolder(folder, { marks })).results.provenance).toMatchObject(someInputs);
    const { results } = readResults(writeResultFolder(folder, { marks, provenance: null }));
    expect(results).not.toHaveProperty('provenance');
  });
  test('with drop is read as it was scored', () => {
    writeResultFolder(folder, { marks: { a: '+', b: '?' }, incomplete: 'drop' });
    expect(readResults(folder).results).toMatchObject({ n: 1, dropped: 1, 'pass@1': 1 });
  });
});

describe('is refused with one line that says where:', () => {
  beforeEach(() => {
    writeResultFolder(folder, { marks });
  });
  test('a folder that is not there', () => {
    expectRefused(join(folder, 'nowhere'), 'nowhere: there is no such folder');
  });
  test('a file', () => {
    expectRefused(join(folder, 'results.json'), 'results.json: is a file');
  });
  test("a training run's folder", () => {
    for (const name of ['config.yaml', 'metrics.jsonl']) writeFileSync(join(folder, name), '');
    expect(readResults(folder).problems).toHaveLength(3);
    rmSync(join(folder, 'results.json'));
    expectRefused(folder, folder, 'holds a training run', 'flex eval');
  });
  test.each(['results.json', 'samples.jsonl'])('a folder without %s', (name) => {
    rmSync(join(folder, name));
    expectRefused(folder, `has no ${name}`);
  });
  test('results that are not JSON', () => {
    for (const text of ['{"pass@1":\n\n 0.5', 'pass@1\n0.5', '']) {
      writeFileSync(join(folder, 'results.json'), text);
      expectRefused(folder, 'results.json: is not JSON');
    }
  });
  test('a key of the results that is missing or of another type', () => {
    edit((results) => {
      results.samples_per_problem = '2';
    });
    expectRefused(folder, 'results.json: samples_per_problem');
    edit((results) => {
      results.samples_per_problem = 2;
      delete (results.counts as Record<string, unknown>).blocked;
    });
    expectRefused(folder, 'results.json: counts.blocked');
  });
  test('a half-written row, with its line', () => {
    appendFileSync(join(folder, 'samples.jsonl'), '{"task_id":"HumanEval/3","compl');
    expectRefused(folder, 'samples.jsonl:7: is not JSON');
  });
  test('bytes that are not UTF-8, with their line', () => {
    appendFileSync(join(folder, 'samples.jsonl'), Buffer.from([0x22, 0xff, 0x22, 0x0a]));
    expectRefused(folder, 'samples.jsonl:7: is not UTF-8');
  });
  test.each([
    ['an unknown verdict', '"verdict":"passed"', '"verdict":"ok"', ':1: verdict'],
    ['no id', '"task_id":"HumanEval/0"', '"id":0', ':1: task_id: needs a string or a number'],
    ['no answer', '"completion":"HumanEval/0 + 0",', '', ':1: completion: needs a completion or a program'],
    ['two answers', '"completion"', '"program":"x","completion"', ':1: completion: needs'],
    ['a failure of a pass', '"failure":null', '"failure":"exited"', ':1: failure: must be null for a pass'],
    [
      'a failed one without a failure',
      '"failure":"assertion"',
      '"failure":null',
      ':2: failure: must be null',
    ],
    ['a second language', '"language":"py"', '"language":"java"', ':2: language: py, but HumanEval/0'],
  ])('a row with %s', (_, from, to, message) => {
    const path = join(folder, 'samples.jsonl');
    writeFileSync(path, readFileSync(path, 'utf8').replace(from, to));
    expectRefused(folder, `samples.jsonl${message}`);
  });
  test('a pass@1 that the samples do not give', () => {
    edit((results) => {
      results['pass@1'] = 0.75;
    });
    expectRefused(folder, 'results.json: pass@1 is 0.75, but', 'give 0.5');
  });
  test.each([
    ['ci95[0]', ({ ci95 }: Results) => ({ ci95: [0, ci95[1]] })],
    ['intervals.pass@2[0]', ({ intervals }: Results) => ({ intervals: { ...intervals, 'pass@2': [0, 1] } })],
    ['intervals.pass@2[0]', ({ intervals }: Results) => ({ intervals: { 'pass@1': intervals['pass@1'] } })],
    ['intervals.pass@9[0]', ({ intervals }: Results) => ({ intervals: { ...intervals, 'pass@9': [0, 1] } })],
    ['languages.py.n', ({ languages: { py } }: Results) => ({ languages: { py: { ...py, n: 9 } } })],
    [
      'languages.py.pass@2',
      ({ languages: { py } }: Results) => ({ languages: { py: { ...py, 'pass@2': 1 } } }),
    ],
    ['languages.java.pass@1', ({ languages: { py } }: Results) => ({ languages: { py, java: py } })],
    ['failures.exited', ({ failures }: Results) => ({ failures: { ...failures, exited: 1 } })],
  ])('%s that the samples do not give', (key, change) => {
    writeResultFolder(folder, { marks, k: [2] });
    expect(readResults(folder).results.intervals['pass@2']).toHaveLength(2);
    edit((results) => Object.assign(results, change(results as unknown as Results)));
    expectRefused(folder, `results.json: ${key} is `, 'samples.jsonl give');
  });
  test('intervals that are none', () => {
    for (const intervals of [{}, { 'pass@1': [0.1] }, { 'pass@1': [0, 1], 'pass@2': 'x' }, null]) {
      edit((results) => Object.assign(results, { intervals }));
      expectRefused(folder, 'results.json: intervals');
    }
  });
  test('counts that the samples do not give', () => {
    edit((results) => {
      const counts = results.counts as Record<string, number>;
      counts.failed = 3;
    });
    expectRefused(folder, 'counts.failed is 3', 'give 2');
  });
  test('a problem too few', () => {
    const path = join(folder, 'samples.jsonl');
    const lines = readFileSync(path, 'utf8').split('\n');
    writeFileSync(path, lines.slice(0, 4).join('\n'));
    expectRefused(folder, 'results.json: ');
  });
  test('more samples than the results say', () => {
    appendFileSync(
      join(folder, 'samples.jsonl'),
      readFileSync(join(folder, 'samples.jsonl'), 'utf8').split('\n')[0],
    );
    expectRefused(folder, 'samples.jsonl: its rows do not fit the results', 'HumanEval/0');
  });
  test('no rows at all', () => {
    writeFileSync(join(folder, 'samples.jsonl'), '');
    expectRefused(folder, 'samples.jsonl: its rows do not fit the results', 'no problems');
  });
  test('a protocol whose parts were changed', () => {
    edit((results) => {
      results.protocol_parts = { limits: { wallSeconds: 3 } };
    });
    expectRefused(folder, 'results.json: protocol is not the hash of protocol_parts');
  });
  test('samples that are not those that were scored, though they give the same score', () => {
    const path = join(folder, 'samples.jsonl');
    writeFileSync(path, readFileSync(path, 'utf8').replace('HumanEval/0 + 0', 'HumanEval/0 + 1'));
    expectRefused(folder, 'samples.jsonl: is not the file that was scored', 'results.json');
  });
  test('provenance of another model, adapter, data, options or code than its digest is of', () => {
    const { provenance } = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8'));
    const other = 'f'.repeat(64);
    const source = { path: '/m', sha256: other, files: [{ path: '/m', bytes: 1, sha256: other }] };
    for (const changed of [
      { model: source },
      { adapters: [{ ...source, weight: 1 }] },
      { merged: 'f16' },
      { samples: source },
      { data: [] },
      { options: other },
      { code: { ...provenance.code, source: other } },
    ]) {
      edit((results) => {
        results.provenance = { ...provenance, ...changed };
      });
      expectRefused(folder, 'results.json: provenance.digest: does not fit what it is the digest of');
    }
    edit((results) => {
      results.provenance = { ...provenance, model: { ...provenance.model, sha256: other } };
    });
    expectRefused(folder, 'results.json: provenance.model.sha256: does not fit the digests of its files');
  });
  test('provenance without the digest of the samples', () => {
    edit((results) => {
      delete results.samples_sha256;
    });
    expectRefused(folder, 'results.json: samples_sha256 is missing');
  });
});
