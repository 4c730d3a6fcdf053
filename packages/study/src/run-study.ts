import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import { type Code, lockFolder, requireOwnFolder } from '@flex/base';
import { describeRung, type HalvingState, halvingOf } from './halving.ts';
import type { Job, Launcher, Outcome, Progress } from './job.ts';
import type { StudyPlan } from './plan-study.ts';
import { baseEvaluations, baseModel, readStudy, type StudyRecord } from './read-study.ts';
import { removeFailure, writeFailure, writeStudy } from './study-folder.ts';

export interface RunStudyOptions {
  readonly launcher: Launcher;
  readonly code: Code;
  /** Whether what failed is tried again. */
  readonly retry?: boolean;
  /** Aborted: jobs that go on save what they have and end, and no other begins. */
  readonly signal: AbortSignal;
  readonly observer?: StudyObserver;
}

/** What there is to do of a study. */
export interface StudyWork {
  readonly all: readonly Job[];
  /** Those of them that are to be done now. */
  readonly pending: readonly Job[];
  /** Those that failed before, and are not tried again. */
  readonly failed: readonly Job[];
}

/** Is told how a study goes. */
export interface StudyObserver {
  onStart?(work: StudyWork): void;
  onBegin?(job: Job): void;
  onProgress?(job: Job, progress: Progress): void;
  onEnd?(job: Job, outcome: Outcome): void;
  onNote?(line: string): void;
}

/**
 * Does all of a study that is not done, each job at most once whoever was killed before, and gives the study
 * as it is then. Locks its folder. Throws ConfigError where another process has it, or where its study is not
 * one that this one could have grown from. What a launcher or an observer throws, or a disk that refuses,
 * ends the study, when the jobs that go on have saved what they have.
 */
export async function runStudy(plan: StudyPlan, options: RunStudyOptions): Promise<StudyRecord> {
  const { code, retry = false, signal, observer = {} } = options;
  const { out } = plan.study;
  requireOwnFolder('out', out, [{ of: 'the model', path: plan.runs[0].config.model }]);
  const lock = lockFolder(out);
  try {
    if (lock.note !== null) observer.onNote?.(lock.note);
    writeStudy(plan, code);
    if (retry) for (const job of jobsOf(plan)) removeFailure(job);
    let record = readStudy(out);
    for (;;) {
      const halved = halvingOf(record);
      const work = workOf(plan, record, halved);
      observer.onStart?.(work);
      await doJobs(work.pending, options);
      record = readStudy(out);
      const decided = halvingOf(record)?.rungs.slice(halved?.rungs.length) ?? [];
      for (const line of decided.flatMap(describeRung)) observer.onNote?.(line);
      if (decided.length === 0 || signal.aborted) return record;
    }
  } finally {
    lock.release();
  }
}

function workOf(plan: StudyPlan, { runs, base }: StudyRecord, halved: HalvingState | null): StudyWork {
  const all = halved === null ? jobsOf(plan) : jobsLeft(plan, halved);
  const states = new Map(runs.map(({ name, state }) => [name, state]));
  const undone = all.filter(({ name }) => (states.get(name) ?? base.state) !== 'done');
  const failed = undone.filter(({ name }) => (states.get(name) ?? base.state) === 'failed');
  return { all, pending: undone.filter((job) => !failed.includes(job)), failed };
}

/** The jobs of a study whose trials are halved: up to the next rung, or to the end of those that are left. */
function jobsLeft(plan: StudyPlan, { next, dropped }: HalvingState): Job[] {
  const jobs = jobsOf(plan);
  if (next === null) return jobs.filter(({ run }) => run === null || !dropped.has(run.arm));
  const { updates: until, runs } = next;
  return jobs.flatMap((job) => {
    if (job.run === null) return [job];
    return runs.includes(job.name) ? [{ ...job, evaluations: [], until }] : [];
  });
}

/** Does jobs in order, as many at once as the launcher has lanes. */
async function doJobs(
  jobs: readonly Job[],
  { launcher, signal, observer = {} }: RunStudyOptions,
): Promise<void> {
  const broken = new AbortController();
  const ending = AbortSignal.any([signal, broken.signal]);
  // One a lane, however many there are.
  setMaxListeners(0, ending);
  const queue = [...jobs];
  const doNext = async () => {
    for (let job = queue.shift(); job && !ending.aborted; job = queue.shift()) {
      const current = job;
      observer.onBegin?.(current);
      const onProgress = (progress: Progress) => observer.onProgress?.(current, progress);
      const outcome = await launcher.run(current, { signal: ending, onProgress });
      if (outcome.status === 'failed') writeFailure(current, outcome.failure);
      observer.onEnd?.(current, outcome);
    }
  };
  const lane = () =>
    doNext().catch((error) => {
      broken.abort(error);
      throw error;
    });
  const lanes = Math.min(launcher.lanes, queue.length);
  await Promise.allSettled(Array.from({ length: lanes }, lane));
  if (broken.signal.aborted) throw broken.signal.reason;
}

/** The jobs of a plan: the base model's evaluations first, where there are some, then runs seed by seed. */
export function jobsOf({ study, runs }: StudyPlan): Job[] {
  const { out: folder, evaluations } = study;
  const [{ config }] = runs;
  const ofBase = baseEvaluations(study);
  const base: Job = { name: baseModel, folder, run: null, model: config.model, evaluations: ofBase };
  // All arms of one seed before the next seed: a study that is cut short is still balanced.
  const bySeed = study.seeds.flatMap((seed) => runs.filter((run) => run.seed === seed));
  const ofRuns = bySeed.map(
    (run): Job => ({
      name: run.name,
      folder,
      run,
      model: run.config.model,
      evaluations,
    }),
  );
  return [...(ofBase.length > 0 ? [base] : []), ...ofRuns];
}

/** Where a job's run keeps its adapter; null for the base model. */
export function adapterOf({ run }: Job): string | null {
  return run && join(run.config.out, 'adapter');
}
