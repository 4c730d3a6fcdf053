import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { temporaryFile, temporaryFolder } from '@flex/base/testing';
import { describe, expect, test } from 'vitest';
import { openJudgementCache } from './judgement-cache.ts';
import type { Judgement } from './verdict.ts';

const pass: Judgement = { verdict: 'passed', failure: null, detail: '', assurance: 'isolated', seconds: 0.5 };
const late: Judgement = { ...pass, verdict: 'timeout', failure: 'never-stopped', detail: 'slow' };
const wrong: Judgement = { ...pass, verdict: 'failed', failure: 'assertion', detail: '1 != 2\n"é"' };

const newPath = () => join(temporaryFolder(), 'judgements.jsonl');

describe('the cache of judgements', () => {
  test('gives back what was added, at once and after opening its file again', () => {
    const path = newPath();
    const first = openJudgementCache(path);
    first.add('a', pass);
    first.add('b', wrong);
    first.add('c', late);
    expect([first.get('a'), first.get('b'), first.get('c'), first.get('d')]).toEqual([
      pass,
      wrong,
      late,
      undefined,
    ]);
    first.close();
    const second = openJudgementCache(path);
    expect([second.get('a'), second.get('b'), second.get('c')]).toEqual([pass, wrong, late]);
    second.close();
  });
  test('takes the latest judgement of a key', () => {
    const path = newPath();
    const first = openJudgementCache(path);
    first.add('a', wrong);
    first.add('a', pass);
    expect(first.get('a')).toEqual(pass);
    first.close();
    const second = openJudgementCache(path);
    expect(second.get('a')).toEqual(pass);
    second.close();
  });
  test('keeps to memory without a file', () => {
    const cache = openJudgementCache(null);
    cache.add('a', pass);
    expect(cache.get('a')).toEqual(pass);
    cache.close();
    expect(openJudgementCache(null).get('a')).toBeUndefined();
  });
  test('takes no timeout of another machine, but its other judgements', () => {
    const path = newPath();
    const here = openJudgementCache(path);
    here.add('late', late);
    here.add('passed', pass);
    here.close();
    const elsewhere = readFileSync(path, 'utf8').replace(/"machine":"\w+"/, '"machine":"another"');
    expect(elsewhere).toContain('another');
    const there = openJudgementCache(temporaryFile('judgements.jsonl', elsewhere));
    expect([there.get('late'), there.get('passed')]).toEqual([undefined, pass]);
    there.close();
  });
  test('goes on after a last line that was torn', () => {
    const path = newPath();
    const first = openJudgementCache(path);
    first.add('a', pass);
    first.close();
    appendFileSync(path, '{"key":"b","judge');
    const second = openJudgementCache(path);
    expect([second.get('a'), second.get('b')]).toEqual([pass, undefined]);
    second.add('b', wrong);
    second.close();
    const third = openJudgementCache(path);
    expect([third.get('a'), third.get('b')]).toEqual([pass, wrong]);
    third.close();
  });

  const entry = { key: 'k', judgement: pass };
  test.each<[string, unknown]>([
    ['is null', null],
    ['is a text', 'k'],
    ['has no key', { judgement: pass }],
    ['has a key that is no text', { ...entry, key: 1 }],
    ['has no judgement', { key: 'k' }],
    ['has an unknown verdict', { ...entry, judgement: { ...pass, verdict: 'fine' } }],
    ['has an unknown failure', { ...entry, judgement: { ...wrong, failure: 'bad luck' } }],
    ['has an unknown assurance', { ...entry, judgement: { ...pass, assurance: 'promised' } }],
    ['lacks a detail', { ...entry, judgement: { ...pass, detail: undefined } }],
    ['has no number of seconds', { ...entry, judgement: { ...pass, seconds: null } }],
    ['has a machine that is no text', { ...entry, machine: 3 }],
    ['has what no judgement has', { ...entry, text: 'a completion' }],
  ])('throws DataError with file and line for one that %s', (_, line) => {
    const path = temporaryFile('judgements.jsonl', `${JSON.stringify(entry)}\n${JSON.stringify(line)}\n`);
    expect(() => openJudgementCache(path)).toThrow(DataError);
    expect(() => openJudgementCache(path)).toThrow(
      'judgements.jsonl:2: is no judgement {"key", "judgement"}; delete the file to judge anew',
    );
  });
  test.each(['{"key"', ''])('throws DataError with file and line for one that is no JSON: %j', (line) => {
    const path = temporaryFile('judgements.jsonl', `${JSON.stringify(entry)}\n${line}\n`);
    expect(() => openJudgementCache(path)).toThrow(DataError);
    expect(() => openJudgementCache(path)).toThrow('judgements.jsonl:2: is not JSON');
  });
});
