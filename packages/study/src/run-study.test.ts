import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { BusyError, type Code, makeFolder } from '@flex/base';
import { runManifest } from '@flex/train/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Job, Launcher, Outcome } from './job.ts';
import { planStudy, type StudyPlan } from './plan-study.ts';
import { readStudy } from './read-study.ts';
import { jobsOf, type RunStudyOptions, runStudy } from './run-study.ts';
import { runFolderOf } from './study-folder.ts';
import { tinyStudy } from './testing/tiny-study.ts';

const code: Code = { commit: null, source: '0'.repeat(64), versions: {} };

/** A plan of one arm, which has no penalty and so no controls, with so many seeds. */
const newPlan = async (seeds: number) =>
  planStudy(await tinyStudy({ factors: { regularizer: ['none'] }, seeds }));

const failed = (error: string): Outcome => ({
  status: 'failed',
  failure: { error, at: new Date().toISOString(), command: ['flex', 'train'], exit_code: 1, signal: null },
});

/** Leaves what a run that is done leaves. */
async function finish({ folder, name, run: planned }: Job): Promise<Outcome> {
  const run = join(folder, runFolderOf(name));
  makeFolder(run);
  writeFileSync(join(run, 'manifest.json'), await runManifest(planned!.config));
  writeFileSync(join(run, 'summary.json'), '{"status": "done", "eval": {}}');
  return { status: 'done' };
}

/** A launcher that does jobs as it is told, and what it was asked. */
function newLauncher(lanes: number, does: (job: Job, signal: AbortSignal) => Promise<Outcome>) {
  const begun: string[] = [];
  const atOnce = { now: 0, most: 0 };
  const launcher: Launcher = {
    lanes,
    async run(job, { signal }) {
      begun.push(job.name);
      atOnce.most = Math.max(atOnce.most, ++atOnce.now);
      try {
        return await does(job, signal);
      } finally {
        atOnce.now--;
      }
    },
  };
  return { launcher, begun, atOnce };
}

const run = (plan: StudyPlan, launcher: Launcher, more: Partial<RunStudyOptions> = {}) =>
  runStudy(plan, { launcher, code, signal: new AbortController().signal, ...more });

test('the base model is evaluated first, but by no merged evaluation, and not where that control is off', async () => {
  const evaluations = [
    { benchmark: 'humaneval', data: import.meta.filename },
    { benchmark: 'humaneval', data: import.meta.filename, merged: true },
  ];
  const jobsWith = async (settings: object) => {
    const plan = await planStudy(
      await tinyStudy({ factors: { regularizer: ['none'] }, seeds: 1, evaluations, ...settings }),
    );
    const { launcher } = newLauncher(1, async () => ({ status: 'interrupted' }));
    const { base } = await run(plan, launcher);
    return [
      base.state,
      ...jobsOf(plan).map(({ name, evaluations: of }) => [name, of.map((one) => one.name)]),
    ];
  };
  const ofRun = ['regularizer-none/seed-0', ['humaneval', 'humaneval-merged']];
  expect(await jobsWith({})).toEqual(['waiting', ['base-model', ['humaneval']], ofRun]);
  const off = { controls: { base_model: { off: 'it was measured before' } } };
  expect(await jobsWith(off)).toEqual(['done', ofRun]);
});

test('each job is begun once, so many at once; what failed waits for --retry, what is done is left alone', async () => {
  const ends = fc.array(fc.constantFrom('done', 'failed', 'interrupted'), { minLength: 5, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(ends, fc.integer({ min: 1, max: 7 }), async (statuses, lanes) => {
      const plan = await newPlan(5);
      const names = jobsOf(plan).map(({ name }) => name);
      const endOf = (name: string) => statuses[names.indexOf(name)];
      const named = (status: string) => names.filter((name) => endOf(name) === status);
      const first = newLauncher(lanes, async (job) => {
        await setTimeout(1);
        const status = endOf(job.name);
        return status === 'done'
          ? finish(job)
          : status === 'failed'
            ? failed('no luck')
            : { status: 'interrupted' };
      });
      const record = await run(plan, first.launcher);
      expect(first.begun).toEqual(names);
      expect(first.atOnce.most).toBe(Math.min(lanes, 5));
      const stateOf = { done: 'done', failed: 'failed', interrupted: 'waiting' };
      expect(record.runs.map(({ state }) => state)).toEqual(statuses.map((status) => stateOf[status]));
      expect(record.runs.map(({ failure }) => failure?.error ?? null)).toEqual(
        statuses.map((status) => (status === 'failed' ? 'no luck' : null)),
      );
      const second = newLauncher(lanes, async (job) => finish(job));
      await run(plan, second.launcher);
      expect(second.begun).toEqual(named('interrupted'));
      const third = newLauncher(lanes, async (job) => finish(job));
      const all = await run(plan, third.launcher, { retry: true });
      expect(third.begun).toEqual(named('failed'));
      expect(all.runs.map(({ state, failure }) => [state, failure])).toEqual(names.map(() => ['done', null]));
    }),
    { numRuns: 4 },
  );
});

test('a folder in which runs have changed places, or their entries, is refused in a line', async () => {
  const plan = await newPlan(2);
  const { out } = plan.study;
  const { runs } = await run(plan, newLauncher(1, finish).launcher);
  const [one, two] = runs.map(({ folder }) => folder);
  const swap = () => {
    for (const [from, to] of [
      [one, 'x'],
      [two, one],
      ['x', two],
    ])
      renameSync(resolve(out, from), resolve(out, to));
  };
  swap();
  expect(() => readStudy(out)).toThrow(`${one}: its run is another one than the study's; move it away`);
  swap();
  const file = join(out, 'study.json');
  const text = readFileSync(file, 'utf8');
  const manifest = JSON.parse(text);
  const change = (what: string, value: unknown) => {
    const changed = { ...manifest.runs[0], [what]: value };
    writeFileSync(file, JSON.stringify({ ...manifest, runs: [changed, manifest.runs[1]] }));
  };
  for (const [what, value, words] of [
    ['seed', 1, /study\.json: runs\.0\.name is \S+\/seed-0, and its run is \S+\/seed-1$/],
    ['name', manifest.runs[1].name, /study\.json: runs\.0\.name /],
    ['key', manifest.runs[1].key, /study\.json: its digest/],
  ] as const) {
    change(what, value);
    expect(() => readStudy(out)).toThrow(words);
  }
  writeFileSync(file, text);
  expect(readStudy(out).runs.map(({ state }) => state)).toEqual(['done', 'done']);
});

test('a study is one process at a time, which the second is told in a line', async () => {
  const plan = await newPlan(2);
  let other: unknown;
  const { launcher } = newLauncher(1, async (job) => {
    other ??= await run(plan, launcher).catch((error) => error);
    return finish(job);
  });
  expect((await run(plan, launcher)).runs.map(({ state }) => state)).toEqual(['done', 'done']);
  expect(other).toBeInstanceOf(BusyError);
});

test.each([
  ['a launcher that breaks', 'no process', async () => Promise.reject(new Error('no process'))],
  ['a disk that does not take why a job failed', /failures/, async () => failed('no luck')],
] as const)(
  '%s ends a study in a line, when what is in work is saved and before another begins',
  async (_, words, first) => {
    const plan = await newPlan(4);
    const { out } = plan.study;
    const ended: string[] = [];
    const { launcher, begun } = newLauncher(2, async ({ name }, signal) => {
      if (begun.length === 1) {
        while (begun.length < 2) await setTimeout(1);
        // In the place of a folder.
        writeFileSync(join(out, 'failures'), '');
        return first();
      }
      while (!signal.aborted) await setTimeout(1);
      await setTimeout(5);
      expect(existsSync(join(out, '.lock'))).toBe(true);
      ended.push(name);
      return { status: 'interrupted' };
    });
    const error = await run(plan, launcher).catch((error: Error) => error);
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toMatch(words);
    expect((error as Error).message).not.toContain('\n');
    expect(begun).toHaveLength(2);
    expect(ended).toEqual([begun[1]]);
    expect(readdirSync(out)).not.toContain('.lock');
  },
);

test('a study that is asked to end begins no other job', async () => {
  const plan = await newPlan(5);
  const asked = new AbortController();
  const { launcher, begun } = newLauncher(2, async (_, signal) => {
    asked.abort();
    expect(signal.aborted).toBe(true);
    return { status: 'interrupted' };
  });
  const record = await run(plan, launcher, { signal: asked.signal });
  expect(begun).toHaveLength(1);
  expect(record.runs.map(({ state }) => state)).toEqual(Array(5).fill('waiting'));
});

test('why a job failed is read back as it was written, and refused in a line where it is not that', async () => {
  const plan = await newPlan(1);
  const { launcher } = newLauncher(1, async () => failed('no luck'));
  const { runs } = await run(plan, launcher);
  expect(runs[0].failure).toMatchObject({ error: 'no luck', exit_code: 1, signal: null });
  const file = join(plan.study.out, 'failures', `${runs[0].name}.json`);
  for (const text of ['{}', '{"error": 1}', 'null', '[']) {
    writeFileSync(file, text);
    expect(() => readStudy(plan.study.out)).toThrow(new RegExp(`^${file}: [^\\n]+$`));
  }
});
