import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Code } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { type HeldOutLine, type RunSummary, readHeldOut, type Section } from '@flex/train';
import { trainOnCpu } from '@flex/train/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeRung, halvingOf } from './halving.ts';
import type { Job, Launcher } from './job.ts';
import { planStudy } from './plan-study.ts';
import { readStudy } from './read-study.ts';
import { runStudy } from './run-study.ts';
import { tinyBase, tinyStudy } from './testing/tiny-study.ts';

/** A trial of a group with the loss of each of its seeds at the one rung; null: that run failed before. */
interface Trial {
  readonly group: string;
  readonly losses: readonly (number | null)[];
}

function recordOf(trials: readonly Trial[], keep: number) {
  const line = (step: number, loss: number) => ({ step, set: 'held', loss }) as HeldOutLine;
  const arms = trials.flatMap(({ group }, i) => {
    const shared = { aliases: [], keys: {}, levels: { group, search: `trial-${i}` } };
    return [
      { ...shared, name: `trial-${i}`, isLevel: true, controls: [] },
      {
        ...shared,
        name: `control-${i}`,
        isLevel: false,
        controls: [{ kind: 'unpenalized' as const, of: `trial-${i}` }],
      },
    ];
  });
  const runs = trials.flatMap(({ losses }, i) =>
    losses.map((loss, seed) => ({
      name: `trial-${i}/seed-${seed}`,
      arm: `trial-${i}`,
      summary: null,
      failure: loss === null ? { error: '', at: '', command: [], exit_code: 1, signal: null } : null,
      heldOut: () =>
        loss === null ? [line(0, 9)] : [line(0, 9), line(5, loss + 1), line(10, loss), line(15, 0)],
    })),
  );
  return { manifest: { halving: { by: 'held', rungs: [10], keep } }, arms, runs };
}

describe('a rung', () => {
  const loss = fc.option(fc.integer({ min: 0, max: 40 }), { freq: 5 });
  const trials = fc.integer({ min: 1, max: 3 }).chain((seeds) =>
    fc.array(
      fc.record({
        group: fc.constantFrom('a', 'b'),
        losses: fc.array(loss, { minLength: seeds, maxLength: seeds }),
      }),
      { minLength: 1, maxLength: 9 },
    ),
  );
  const share = fc.constantFrom(0.25, 0.5, 0.9);

  it('keeps of each group the best ⌈keep·n⌉ by their mean over seeds, and drops the controls of the others', () => {
    fc.assert(
      fc.property(trials, share, (all, keep) => {
        const { rungs, next, dropped } = halvingOf(recordOf(all, keep))!;
        expect(next).toBe(null);
        const told = rungs[0].groups.flat();
        expect(told.map(({ arm }) => arm).sort()).toEqual(all.map((_, i) => `trial-${i}`).sort());
        for (const { arm, loss: mean, isKept } of told) {
          const { losses } = all[Number(arm.split('-')[1])];
          const sum = losses.reduce<number>((total, one) => total + (one ?? Number.NaN), 0);
          expect(mean).toBe(losses.includes(null) ? null : sum / losses.length);
          expect(dropped.has(arm)).toBe(!isKept);
          expect(dropped.has(arm.replace('trial', 'control'))).toBe(!isKept);
        }
        for (const group of rungs[0].groups) {
          const sound = group.filter(({ loss: mean }) => mean !== null);
          const kept = group.filter(({ isKept }) => isKept);
          expect(kept.length).toBe(Math.min(sound.length, Math.ceil(keep * group.length)));
          const worst = Math.max(...kept.map(({ loss: mean }) => mean!));
          for (const { loss: mean, isKept } of sound)
            if (!isKept) expect(mean!).toBeGreaterThanOrEqual(worst);
        }
      }),
    );
  });

  it('is not decided before all have come so far, and says who has not', () => {
    const record = recordOf(
      [
        { group: 'a', losses: [1, 2] },
        { group: 'a', losses: [3, 4] },
      ],
      0.5,
    );
    const runs = record.runs.map((run, i) =>
      i === 2 ? { ...run, heldOut: () => run.heldOut().slice(0, 2) } : run,
    );
    expect(halvingOf({ ...record, runs })).toMatchObject({
      rungs: [],
      next: { updates: 10, runs: ['trial-1/seed-0'] },
      dropped: new Set(),
    });
    const ended = runs.map((run, i) =>
      i === 2 ? { ...run, summary: { status: 'done' } as RunSummary } : run,
    );
    expect(halvingOf({ ...record, runs: ended })!.rungs[0].groups[0][1]).toEqual({
      arm: 'trial-1',
      loss: 4,
      isKept: false,
    });
  });

  it('drops no trial that is a control of one that is left', () => {
    const record = recordOf(
      [
        { group: 'a', losses: [1] },
        { group: 'b', losses: [1] },
        { group: 'b', losses: [2] },
      ],
      0.5,
    );
    const arms = record.arms.map((arm) =>
      arm.name === 'trial-2' ? { ...arm, controls: [{ kind: 'unpenalized' as const, of: 'trial-0' }] } : arm,
    );
    expect([...halvingOf({ ...record, arms })!.dropped]).toEqual(['control-2']);
  });

  it('is told in words', () => {
    const all = [
      { group: 'a', losses: [2.5] },
      { group: 'a', losses: [null] },
    ];
    expect(halvingOf(recordOf(all, 0.5))!.rungs.flatMap(describeRung)).toEqual([
      'after 10 updates, kept: trial-0 (2.5000); dropped: trial-1 (failed)',
    ]);
  });
});

const code: Code = { commit: null, source: '0', versions: {} };

/** Trains where the test runs, and keeps which jobs it was given. */
function launcherHere(fails: (job: Job) => boolean = () => false) {
  const jobs: string[] = [];
  const launcher: Launcher = {
    lanes: 1,
    async run(job) {
      jobs.push(`${job.name}${job.until === undefined ? '' : ` until ${job.until}`}`);
      if (fails(job)) {
        const failure = {
          error: 'diverged',
          at: new Date().toISOString(),
          command: [],
          exit_code: 1,
          signal: null,
        };
        return { status: 'failed', failure };
      }
      await trainOnCpu(job.run!.config, { resume: true, until: job.until });
      return { status: 'done' };
    },
  };
  return { jobs, launcher };
}

describe('a study whose trials are halved', () => {
  const base = (folder: string) => ({
    ...tinyBase(folder),
    regularizer: { lambda: 0.5 },
    train: { batch_size: 2, max_steps: 3, eval_every: 1, save_every: 0 },
  });
  const off = { off: 'one control is enough for this test' };
  const studyOf = (folder: string, halving: object | null): Section => ({
    base: base(folder),
    factors: { 'lora.rank': [2] },
    search: { over: { 'optimizer.lr': [0.05, 0.02, 0.01] }, halving },
    seeds: 2,
    controls: { matched_l2: off, permuted_frequencies: off },
  });
  const halving = { by: 'held.jsonl all', rungs: [1, 2] };
  const names = ['lr-0.05', 'lr-0.02', 'lr-0.01'].map((name) => `rank-2+${name}`);

  it('decides as whole runs would, and what is left has the bytes of whole runs', async () => {
    const [folder, whole] = [temporaryFolder(), temporaryFolder()];
    const plan = await planStudy(await tinyStudy(studyOf(folder, halving), folder));
    const { jobs, launcher } = launcherHere();
    const notes: string[] = [];
    const options = {
      launcher,
      code,
      signal: new AbortController().signal,
      observer: { onNote: (line: string) => void notes.push(line) },
    };
    const record = await runStudy(plan, options);
    const kept = record.runs.filter(({ state }) => state === 'done');
    expect(new Set(record.runs.map(({ state }) => state))).toEqual(new Set(['done', 'dropped']));
    expect(new Set(kept.map(({ arm }) => arm)).size).toBe(2); // the winner and its control
    expect(kept.some(({ arm }) => arm.startsWith('unpenalized'))).toBe(true);
    expect(jobs).toHaveLength(6 + 4 + 4);
    expect(notes).toHaveLength(2);
    // Controls of what was dropped never began.
    expect(jobs.filter((job) => job.startsWith('unpenalized')).length).toBe(2);

    const all = await planStudy(await tinyStudy({ ...studyOf(whole, null), out: 'out' }, whole));
    const losses = new Map<string, number[]>();
    for (const { config, arm } of all.runs.filter((run) => names.includes(run.arm))) {
      await trainOnCpu(config);
      const lines = readHeldOut(join(config.out, 'held-out.jsonl'));
      losses.set(arm, [
        ...(losses.get(arm) ?? []),
        ...[1, 2].map((at) => lines.find(({ step }) => step === at)!.loss),
      ]);
    }
    const meanAt = (rung: number) => (name: string) => losses.get(name)![rung] + losses.get(name)![2 + rung];
    const best = (some: string[], rung: number, count: number) =>
      some.toSorted((a, b) => meanAt(rung)(a) - meanAt(rung)(b)).slice(0, count);
    const [winner] = best(best(names, 0, 2), 1, 1);
    expect(kept.map(({ arm }) => arm)).toContain(winner);
    for (const seed of [0, 1]) {
      const [got, expected] = [folder, whole].map((at) =>
        readFileSync(join(at, 'out/runs', winner, `seed-${seed}`, 'adapter/adapter_model.safetensors')),
      );
      expect(got.equals(expected)).toBe(true);
    }
    // Done again, it does nothing.
    const again = launcherHere();
    await runStudy(plan, { ...options, launcher: again.launcher });
    expect(again.jobs).toEqual([]);
  });

  it('goes on without a trial that failed, and takes it back where --retry mends it', async () => {
    const folder = temporaryFolder();
    const plan = await planStudy(
      await tinyStudy({ ...studyOf(folder, { by: 'held.jsonl all', rungs: [1] }), seeds: 1 }, folder),
    );
    const options = { code, signal: new AbortController().signal };
    const first = await runStudy(plan, {
      ...options,
      launcher: launcherHere(({ name }) => name.includes('lr-0.01')).launcher,
    });
    const state = (record: typeof first) => record.runs.find(({ arm }) => arm === names[2])!.state;
    expect(state(first)).toBe('dropped');
    const untried = launcherHere();
    await runStudy(plan, { ...options, launcher: untried.launcher });
    expect(untried.jobs).toEqual([]);
    const second = launcherHere();
    const record = await runStudy(plan, { ...options, launcher: second.launcher, retry: true });
    expect(second.jobs[0]).toBe(`${names[2]}/seed-0 until 1`);
    expect(state(record)).toBe('done');
    expect(readStudy(join(folder, 'out')).runs.map((run) => run.state)).toEqual(
      record.runs.map((run) => run.state),
    );
  });

  it.each<[string, Section, RegExp]>([
    [
      'another set',
      { halving: { ...halving, by: 'held' } },
      /study\.yaml:\d+: search\.halving\.by must be held\.jsonl all, got "held"/,
    ],
    [
      'a rung behind the end',
      { halving: { ...halving, rungs: [1, 3] } },
      /rungs must be multiples of train\.eval_every, 1, below the 3 updates of a run, got 3$/,
    ],
    [
      'rungs that fall',
      { halving: { ...halving, rungs: [2, 1] } },
      /search\.halving\.rungs must be a list of numbers of updates that rise/,
    ],
    [
      'a share of 1',
      { halving: { ...halving, keep: 1 } },
      /search\.halving\.keep must be a number above 0 and below 1, got 1/,
    ],
    [
      'unequal efforts',
      { halving, over: { 'train.batch_size': [1, 2] } },
      /would compare unequal efforts: rank-2\+batch_size-1 and rank-2\+batch_size-2 differ in data or train$/,
    ],
  ])('is refused with %s', async (_, changed, message) => {
    const folder = temporaryFolder();
    const study = studyOf(folder, null);
    const search = { ...(study.search as Section), ...changed };
    const planned = async () => planStudy(await tinyStudy({ ...study, search }, folder));
    await expect(planned()).rejects.toThrow(message);
  });
});
