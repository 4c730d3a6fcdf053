import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DataError } from './errors.ts';
import { openJudgementCache } from './judgement-cache.ts';
import { jsonl, temporaryFile, temporaryFolder } from './testing/temporary-folder.ts';
import type { Judgement } from './verdict.ts';

const pass: Judgement = { verdict: 'passed', failure: null, detail: '', assurance: 'isolated', seconds: 0.5 };
const late: Judgement = { ...pass, verdict: 'timeout', failure: 'never-stopped', detail: 'slow' };
const wrong: Judgement = { ...pass, verdict: 'failed', failure: 'assertion', detail: '1 != 2\n"é"' };

const newPath = () => join(temporaryFolder(), 'judgements.jsonl');

describe('the cache of judgements', () => {
  test('gives back what was added, at once and after opening its file again', async () => {
    const path = newPath();
    const first = await openJudgementCache(path);
    await Promise.all([first.add('a', pass), first.add('b', wrong), first.add('c', late)]);
    expect([first.get('a'), first.get('b'), first.get('c'), first.get('d')]).toEqual([
      pass,
      wrong,
      late,
      undefined,
    ]);
    await first.close();
    const second = await openJudgementCache(path);
    expect([second.get('a'), second.get('b'), second.get('c')]).toEqual([pass, wrong, late]);
    await second.close();
  });
  test('takes the latest judgement of a key', async () => {
    const path = newPath();
    const first = await openJudgementCache(path);
    await first.add('a', wrong);
    await first.add('a', pass);
    expect(first.get('a')).toEqual(pass);
    await first.close();
    const second = await openJudgementCache(path);
    expect(second.get('a')).toEqual(pass);
    await second.close();
  });
  test('keeps to memory without a file', async () => {
    const cache = await openJudgementCache(null);
    await cache.add('a', pass);
    expect(cache.get('a')).toEqual(pass);
    await cache.close();
    expect((await openJudgementCache(null)).get('a')).toBeUndefined();
  });
  test('takes no timeout of another machine, but its other judgements', async () => {
    const path = newPath();
    const here = await openJudgementCache(path);
    await here.add('late', late);
    await here.add('passed', pass);
    await here.close();
    const elsewhere = readFileSync(path, 'utf8').replace(/"machine":"\w+"/, '"machine":"another"');
    expect(elsewhere).toContain('another');
    const there = await openJudgementCache(temporaryFile('judgements.jsonl', elsewhere));
    expect([there.get('late'), there.get('passed')]).toEqual([undefined, pass]);
    await there.close();
  });
  test('goes on after a last line that was torn', async () => {
    const path = newPath();
    const first = await openJudgementCache(path);
    await first.add('a', pass);
    await first.close();
    appendFileSync(path, '{"key":"b","judge');
    const second = await openJudgementCache(path);
    expect([second.get('a'), second.get('b')]).toEqual([pass, undefined]);
    await second.add('b', wrong);
    await second.close();
    const third = await openJudgementCache(path);
    expect([third.get('a'), third.get('b')]).toEqual([pass, wrong]);
    await third.close();
  });

  const entry = { key: 'k', judgement: pass };
  test.each<[string, unknown]>([
    ['is no JSON', '{"key"'],
    ['is empty', ''],
    ['is null', null],
    ['is a text', '"k"'],
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
  ])('throws DataError with file and line for one that %s', async (_, line) => {
    const path = temporaryFile('judgements.jsonl', jsonl(entry, line));
    await expect(openJudgementCache(path)).rejects.toThrow(DataError);
    await expect(openJudgementCache(path)).rejects.toThrow(
      'judgements.jsonl:2: is no judgement {"key", "judgement"}; delete the file to judge anew',
    );
  });
});
