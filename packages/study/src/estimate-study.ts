import type { Provenance } from '@flex/base';
import type { ResultFolder } from '@flex/eval';
import type { PlannedRun, StudyPlan } from './plan-study.ts';
import { baseModel, type RunRecord, type StudyRecord } from './read-study.ts';
import { jobsOf } from './run-study.ts';

/** What a run takes. */
export interface RunCost {
  /** Wall time, without its evaluations. */
  readonly seconds: number;
  /** Most bytes of tensors that are alive at once on the device. */
  readonly memoryBytes: number;
}

/** What is known of an arm before its runs are done. */
export interface ArmEstimate {
  readonly arm: string;
  /** Runs of it, and those of them that are done. */
  readonly runs: number;
  readonly done: number;
  /** Of one run, in the mean. */
  readonly cost: RunCost;
  /** Whether that rests on its own runs that are done, on those of the arm it controls, or on a probe. */
  readonly basis: 'its runs' | 'runs of its arm' | 'a probe';
}

/** How long a study takes, and how much memory. */
export interface StudyEstimate {
  readonly arms: readonly ArmEstimate[];
  /** Wall time of an evaluation of one model in the mean of those that are done; null where none is. */
  readonly evaluations: readonly { readonly name: string; readonly seconds: number | null }[];
  /** Jobs that are left. */
  readonly left: number;
  /** Wall time of these with so many at once, evaluations of a known time included. */
  readonly seconds: number;
  /** Most bytes of tensors that are alive at once in all jobs at once. */
  readonly memoryBytes: number;
}

export interface EstimateOptions {
  /** The study as it is; null where it has not begun. */
  readonly record: StudyRecord | null;
  /** Jobs at once. */
  readonly lanes: number;
  /** Measures what a run takes that is like no run that is done. */
  readonly probe: (run: PlannedRun) => Promise<RunCost>;
}

/**
 * How long what is left of a study takes. Rests on runs that are done, in the mean over those of an arm; else
 * on a probe of one run of each combination of levels, whose controls are taken to cost the same.
 */
export async function estimateStudy(
  plan: StudyPlan,
  { record, lanes, probe }: EstimateOptions,
): Promise<StudyEstimate> {
  const done = record?.runs.filter(({ summary }) => summary?.status === 'done') ?? [];
  const own = new Map<string, RunCost>();
  for (const { name } of plan.arms) {
    const cost = meanCost(done.filter(({ arm }) => arm === name));
    if (cost) own.set(name, cost);
  }
  const arms: ArmEstimate[] = [];
  for (const { name, isLevel, controls } of plan.arms) {
    const planned = plan.runs.filter(({ arm }) => arm === name);
    const counts = { arm: name, runs: planned.length, done: done.filter(({ arm }) => arm === name).length };
    const ofArm = isLevel ? undefined : arms.find(({ arm }) => controls.some(({ of }) => of === arm));
    const known = own.get(name);
    if (known) arms.push({ ...counts, cost: known, basis: 'its runs' });
    else if (ofArm) {
      const basis = ofArm.basis === 'its runs' ? 'runs of its arm' : ofArm.basis;
      arms.push({ ...counts, cost: ofArm.cost, basis });
    } else arms.push({ ...counts, cost: await probe(planned[0]), basis: 'a probe' });
  }
  const evaluations = plan.study.evaluations.map(({ name }) => ({
    name,
    seconds: meanEvaluation(name, record),
  }));
  const isDone = new Set((record?.runs ?? []).flatMap(({ name, state }) => (state === 'done' ? [name] : [])));
  if (record?.base.state === 'done') isDone.add(baseModel);
  const jobs = jobsOf(plan).filter(({ name }) => !isDone.has(name));
  const seconds = jobs.map(({ run, evaluations: wanted }) => {
    const ofRun = run ? arms.find(({ arm }) => arm === run.arm)!.cost.seconds : 0;
    const times = wanted.map(({ name }) => evaluations.find((one) => one.name === name)!.seconds ?? 0);
    return ofRun + sum(times);
  });
  const memory = jobs.flatMap(({ run }) =>
    run ? [arms.find(({ arm }) => arm === run.arm)!.cost.memoryBytes] : [],
  );
  const largest = memory.sort((a, b) => b - a).slice(0, lanes);
  return {
    arms,
    evaluations,
    left: jobs.length,
    seconds: inLanes(seconds, lanes),
    memoryBytes: sum(largest),
  };
}

/** Wall time of jobs that are taken up in order by so many lanes. */
function inLanes(jobs: readonly number[], lanes: number): number {
  const ends = Array<number>(lanes).fill(0);
  for (const seconds of jobs) {
    const first = ends.indexOf(Math.min(...ends));
    ends[first] += seconds;
  }
  return Math.max(...ends);
}

function meanCost(runs: readonly RunRecord[]): RunCost | null {
  if (runs.length === 0) return null;
  const seconds = runs.map(({ summary }) => wallTime(summary!.provenance) ?? summary!.seconds);
  const memory = runs.map(({ summary }) => summary!.peak_memory_bytes);
  return { seconds: sum(seconds) / runs.length, memoryBytes: Math.max(...memory) };
}

function meanEvaluation(name: string, record: StudyRecord | null): number | null {
  const all = record ? [record.base, ...record.runs] : [];
  const times = all.flatMap((one) => timeOf(one.results(name)));
  return times.length > 0 ? sum(times) / times.length : null;
}

function timeOf(folder: ResultFolder | null): number[] {
  const provenance = folder?.results.provenance;
  const seconds = provenance ? wallTime(provenance) : null;
  return seconds === null ? [] : [seconds];
}

/** Seconds from begin to end of what went through in one process; null of what was resumed. */
function wallTime({ started, finished, resumed }: Provenance): number | null {
  if (resumed.length > 0 || finished === null) return null;
  return (Date.parse(finished) - Date.parse(started)) / 1000;
}

const sum = (of: readonly number[]) => of.reduce((total, one) => total + one, 0);
