import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { readStudy } from '@flex/study';
import { readManifest } from '@flex/train';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flex } from './testing/flex.ts';
import { slowStudies, start, until, updates } from './testing/slow-studies.ts';

const isLong = process.env.FLEX_LONG_TESTS === '1';
/** Runs of the study that is killed, all at once. */
const atOnce = isLong ? 3 : 2;

/** The runs of a study that some process writes, the process, and the updates that are done. */
function running(out: string): { readonly folder: string; readonly pid: number; readonly steps: number }[] {
  if (!existsSync(join(out, 'study.json'))) return [];
  return readStudy(out).runs.flatMap((run) => {
    const lock = join(run.folder, '.lock');
    // It may be released meanwhile.
    const text = existsSync(lock) ? readFileSync(lock, 'utf8') : '';
    const steps = run.metrics().length;
    return text === '' ? [] : [{ folder: run.folder, pid: JSON.parse(text).pid, steps }];
  });
}

/** The first line is of no update. */
const hasUpdate = ({ steps }: { readonly steps: number }) => steps > 1;

/** Sends SIGKILL to a process, unless it has ended. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** What is killed when. */
const kills = fc.record({
  what: fc.constantFrom('the study', 'the study', 'a run'),
  from: fc.constantFrom('its start', 'its first update'),
  /** Milliseconds. */
  after: fc.integer({ min: 0, max: 4000 }),
});
type Kill = typeof kills extends fc.Arbitrary<infer T> ? T : never;

/** Kills in each of some studies. */
const cases: readonly (readonly Kill[])[] = isLong
  ? fc.sample(fc.array(kills, { minLength: 4, maxLength: 4 }), 10)
  : [[{ what: 'the study', from: 'its first update', after: 100 }]];

test(`a study of ${atOnce} runs at once, killed ${cases.flat().length} times, has each run once, with the bytes of one alone`, {
  timeout: 3_600_000,
}, async () => {
  const { args, outOf, recordsOf, undisturbed } = slowStudies(`seeds=${atOnce}`);
  let expected: object | null = null;
  const tally: string[] = [];
  for (const [i, all] of cases.entries()) {
    const name = `study-${i}`;
    const out = outOf(name);
    const cutShort = new Set<string>();
    for (const { what, from, after } of all) {
      const { child, ended } = start(args(name, '--jobs', '3', '--retry'));
      let hasEnded = false;
      void ended.then(() => {
        hasEnded = true;
      });
      if (from === 'its first update') await until(() => hasEnded || running(out).some(hasUpdate));
      await setTimeout(after);
      const runs = running(out);
      const victim = hasEnded ? undefined : what === 'the study' ? child.pid : runs[0]?.pid;
      if (victim !== undefined) kill(victim);
      if (victim === child.pid) {
        for (const run of runs) if (hasUpdate(run) && run.steps < updates / 2) cutShort.add(run.folder);
      }
      const { code, stderr } = await ended;
      tally.push(
        `${what} ${after} ms after ${from}: ${victim === undefined ? 'nothing was there to kill' : `${code}`}`,
      );
      expect(stderr, tally.join('; ')).not.toMatch(/^\s+at |is being written into/m);
      if (code === 1) expect(stderr).toMatch(/failed: flex train was ended by SIGKILL \(log: /);
    }
    const last = await flex(...args(name, '--jobs', '3', '--retry'));
    const where = `${tally.join('; ')}: ${last.stderr}`;
    expect(last.code, where).toBe(0);
    expected ??= await undisturbed(name);
    expect(recordsOf(name), where).toEqual(expected);
    expect(running(out)).toEqual([]);
    // Those processes ended with their study, and did not go on alone.
    for (const folder of cutShort) expect(readManifest(folder).resumed, where).not.toEqual([]);
  }
  if (isLong) console.log(tally.join('\n'));
});

test('a run that is killed has failed, in a line with its log; it is done again with --retry, and then never', async () => {
  const { args, outOf, recordsOf } = slowStudies('seeds=2');
  const out = outOf('s');
  const first = flex(...args('s', '--jobs', '3'));
  await until(() => running(out).some(hasUpdate));
  const [{ pid, folder }] = running(out);
  kill(pid);
  const killed = await first;
  expect(killed.code).toBe(1);
  const name = relative(join(out, 'runs'), folder);
  const log = join(out, 'logs', `${name}.log`);
  const line = `${name} failed: flex train was ended by SIGKILL (log: ${log})`;
  expect(killed.stderr.split('\n')).toContain(line);
  const lines = killed.stdout
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text));
  expect(lines).toHaveLength(3);
  expect(lines).toContainEqual({
    job: name,
    status: 'failed',
    seconds: expect.any(Number),
    error: line.slice(line.indexOf('flex'), line.indexOf(' (')),
    log,
  });
  expect(lines[2].runs.map(({ state }: { state: string }) => state).sort()).toEqual(['done', 'failed']);
  expect(readFileSync(log, 'utf8')).toMatch(/^20\S+Z flex train .*--resume/);
  const again = await flex(...args('s', '--jobs', '3'));
  expect(again.code).toBe(1);
  expect(again.stderr).toContain(
    '0 of 2 jobs to do, 1 done before, 1 failed before (--retry tries them again)',
  );
  const retried = await flex(...args('s', '--jobs', '3', '--retry'));
  expect(retried.code, retried.stderr).toBe(0);
  const records = recordsOf('s');
  const never = await flex(...args('s', '--jobs', '3', '--retry'));
  expect(never.stderr).toContain('0 of 2 jobs to do, 2 done before');
  expect(recordsOf('s')).toEqual(records);
});

test.each([
  ['SIGTERM', 143, (child: ChildProcess) => child.kill('SIGTERM')],
  ['a closed pipe', 141, (child: ChildProcess) => child.stderr?.destroy()],
] as const)('%s ends a study with all saved', async (_, code, end) => {
  const { args, outOf } = slowStudies('seeds=1');
  const out = outOf('s');
  const { child, ended } = start(args('s', '--jobs', '3'));
  await until(() => running(out).some(hasUpdate));
  end(child);
  expect((await ended).code).toBe(code);
  expect(running(out)).toEqual([]);
  expect(readStudy(out).runs.map(({ state }) => state)).toEqual(['interrupted']);
});
