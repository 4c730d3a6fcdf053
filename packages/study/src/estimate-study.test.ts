import { expect, test } from 'vitest';
import { estimateStudy, type RunCost } from './estimate-study.ts';
import { planStudy } from './plan-study.ts';
import type { RunRecord, StudyRecord } from './read-study.ts';
import { tinyStudy } from './testing/tiny-study.ts';

const cost: RunCost = { seconds: 10, memoryBytes: 100 };

test('an estimate rests on the runs of an arm, else on those of the arm it controls, else on a probe', async () => {
  const study = await tinyStudy({ factors: { 'regularizer.lambda': [0.1, 0.2] }, seeds: 2 });
  const plan = await planStudy(study);
  const [first, second] = plan.arms.filter(({ isLevel }) => isLevel).map(({ name }) => name);
  const probed: string[] = [];
  const probe = async ({ arm }: { arm: string }) => {
    probed.push(arm);
    return cost;
  };
  const fresh = await estimateStudy(plan, { record: null, lanes: 1, probe });
  expect(probed).toEqual([first, second]);
  const jobs = plan.runs.length;
  expect(fresh).toMatchObject({ left: jobs, seconds: 10 * jobs, memoryBytes: 100 });
  const three = await estimateStudy(plan, { record: null, lanes: 3, probe });
  expect(three).toMatchObject({ seconds: 10 * Math.ceil(jobs / 3), memoryBytes: 300 });

  const provenance = { started: '2026-01-01T00:00:00Z', finished: '2026-01-01T00:01:00Z', resumed: [] };
  const summary = { status: 'done', seconds: 40, peak_memory_bytes: 500, provenance };
  const runs = plan.runs.map((run) => {
    const isDone = run.arm === first && run.seed === 0;
    return {
      ...run,
      state: isDone ? 'done' : 'waiting',
      summary: isDone ? summary : null,
      results: () => null,
    };
  });
  const record = { runs: runs as unknown as RunRecord[], base: { state: 'done' } } as unknown as StudyRecord;
  probed.length = 0;
  const partly = await estimateStudy(plan, { record, lanes: 1, probe });
  expect(probed).toEqual([second]);
  const basisOf = (name: string) => partly.arms.find(({ arm }) => arm === name);
  expect(basisOf(first)).toMatchObject({
    done: 1,
    runs: 2,
    basis: 'its runs',
    cost: { seconds: 60, memoryBytes: 500 },
  });
  expect(basisOf(second)).toMatchObject({ done: 0, basis: 'a probe', cost });
  const controls = plan.arms.filter(
    ({ isLevel, controls }) => !isLevel && controls.some(({ of }) => of === first),
  );
  expect(controls.length).toBeGreaterThan(0);
  for (const { name } of controls)
    expect(basisOf(name)).toMatchObject({ basis: 'runs of its arm', cost: { seconds: 60 } });
  expect(partly.left).toBe(jobs - 1);
});
