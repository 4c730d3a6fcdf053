import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { temporaryFolder } from '@flex/base/testing';
import { startRedis, withoutRedis } from '@flex/queue/testing';
import { holdsStudy, readStudy } from '@flex/study';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flex } from './testing/flex.ts';
import { device, slowStudies, start, until } from './testing/slow-studies.ts';

const isLong = process.env.FLEX_LONG_TESTS === '1';

/** What happens when to a study that is done by workers of a queue. */
const events = fc.record({
  what: fc.constantFrom('a worker', 'a worker', 'the study'),
  /** Milliseconds after what was before. */
  after: fc.integer({ min: 0, max: 700 }),
});
const [studies, kills, workers] = isLong ? [10, 4, 3] : [1, 1, 2];
const cases = isLong
  ? fc.sample(fc.array(events, { minLength: kills, maxLength: kills }), studies)
  : [[{ what: 'a worker', after: 0 } as const]];

test.skipIf(withoutRedis)(
  `a study with ${workers} workers, ${studies * kills} kills and ${2 * studies} restarts of Redis has each run once, with the bytes of one alone`,
  { timeout: 3_600_000 },
  async () => {
    const redis = await startRedis();
    const { args, outOf, recordsOf, undisturbed } = slowStudies(`seeds=${workers}`);
    const worker = () => start(['worker', '--queue', redis.url, '--lease', '3', ...device]);
    const crew = Array.from({ length: workers }, worker);
    let expected: object | null = null;
    const tally: string[] = [];
    for (const [i, all] of cases.entries()) {
      const name = `study-${i}`;
      const out = outOf(name);
      const study = () => start(args(name, '--queue', redis.url));
      let { child, ended } = study();
      const hasUpdates = () =>
        child.exitCode !== null ||
        (holdsStudy(out) && readStudy(out).runs.some((run) => run.metrics().length > 1));
      await until(hasUpdates);
      for (const [j, { what, after }] of all.entries()) {
        await setTimeout(after);
        const done = holdsStudy(out) ? readStudy(out).runs.filter(({ state }) => state === 'done').length : 0;
        tally.push(`${what} killed with ${done} runs done`);
        if (what === 'the study') {
          child.kill('SIGKILL');
          await ended;
          ({ child, ended } = study());
        } else {
          const victim = crew.shift()!;
          victim.child.kill('SIGKILL');
          await victim.ended;
          crew.push(worker());
        }
        const isRestart = j === 0 || j === all.length - 1;
        if (isRestart) await redis.restart(j === 0 ? 'SIGTERM' : 'SIGKILL');
        if (all.length === 1) await redis.restart('SIGKILL');
      }
      const { code, stderr } = await ended;
      const where = `${tally.join('; ')}: ${stderr}`;
      expect(code, where).toBe(0);
      expected ??= await undisturbed(name);
      expect(recordsOf(name), where).toEqual(expected);
    }
    expect(await redis.keys('flex:*')).toEqual([]);
    for (const { child } of crew) child.kill('SIGTERM');
    for (const { ended } of crew) expect((await ended).code).toBe(143);
    if (isLong) console.log(tally.join('\n'));
  },
);

test.skipIf(withoutRedis)('a password stands in no record, no output and no list of processes', async () => {
  const redis = await startRedis('--requirepass', 'hunter2');
  const url = `redis://:hunter2@127.0.0.1:${redis.port}`;
  const file = join(temporaryFolder(), 'queue');
  writeFileSync(file, url);
  const { args, outOf } = slowStudies('seeds=1', 'base.train.max_steps=1');
  const worker = start(['worker', '--queue', url, '--idle', '3', ...device]);
  const commandOf = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  await until(() => worker.child.exitCode !== null || !commandOf(worker.child.pid!).includes('hunter2'));
  expect(worker.child.exitCode).toBe(null);
  const ended = await flex(...args('s', '--queue', file));
  const { code, stdout, stderr } = await worker.ended;
  expect([ended.code, code], ended.stderr + stderr).toEqual([0, 0]);
  const records = ['study.json', 'runs/unpenalized/seed-0/manifest.json', 'logs/unpenalized/seed-0.log'];
  const texts = records.map((name) => readFileSync(join(outOf('s'), name), 'utf8'));
  expect([stdout, stderr, ended.stdout, ended.stderr, ...texts].join()).not.toContain('hunter');
  expect(stdout.split('\n')[0]).toBe('{"job":"unpenalized/seed-0","status":"done"}');
});
