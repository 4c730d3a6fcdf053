import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DataError, openInputFiles, sourceOf } from '@flex/base';
import { type ResultFolder, readResults } from '@flex/eval';
import {
  decidesModel,
  type HeldOutLine,
  heldOutFile,
  holdsRun,
  type MetricsLine,
  type RunSummary,
  readHeldOut,
  readMetrics,
  readRunKey,
  readSummary,
} from '@flex/train';
import { halvingOf } from './halving.ts';
import type { Failure, Job } from './job.ts';
import type { ArmRecord, RunEntry, StudyManifest } from './manifest.ts';
import { evaluationFolderOf, readFailure, readStudyManifest, runFolderOf } from './study-folder.ts';

/**
 * How far a job is; `begun` is one that goes on, or whose process ended without a word, `dropped` one that does not
 * go on (`halvingOf`).
 */
export type JobState = 'waiting' | 'begun' | 'interrupted' | 'failed' | 'done' | 'dropped';

/** A run of a study, and what there is of it. */
export interface RunRecord extends RunEntry {
  /** Absolute. */
  readonly folder: string;
  readonly state: JobState;
  /** Null where it has not ended. */
  readonly summary: RunSummary | null;
  readonly failure: Failure | null;
  /** Lines of metrics.jsonl; none where it has not begun. */
  metrics(): MetricsLine[];
  /** Lines of held-out.jsonl. */
  heldOut(): HeldOutLine[];
  /** The results of an evaluation by its name; null where it has none yet. */
  results(evaluation: string): ResultFolder | null;
}

/** A study, and how far it is. */
export interface StudyRecord {
  /** Absolute. */
  readonly folder: string;
  readonly manifest: StudyManifest;
  readonly arms: readonly ArmRecord[];
  /** In the order of arms, then of seeds. */
  readonly runs: readonly RunRecord[];
  /** The evaluations of the base model. */
  readonly base: Pick<RunRecord, 'state' | 'failure' | 'results'>;
}

/**
 * The study in a folder. Throws DataError where there is none, for records that are malformed, and for the
 * folder of a run that is another one than the study's.
 */
export function readStudy(folder: string): StudyRecord {
  const manifest = readStudyManifest(folder);
  const { arms } = manifest;
  const runs = manifest.runs.map((run) => recordOf(folder, run, manifest));
  const { dropped } = halvingOf({ manifest, arms, runs }) ?? {};
  return {
    folder,
    manifest,
    arms,
    runs: runs.map((run) => (dropped?.has(run.arm) ? { ...run, state: 'dropped' } : run)),
    base: baseOf(folder, manifest),
  };
}

function recordOf(study: string, run: RunEntry, { evaluations }: StudyManifest): RunRecord {
  const folder = join(study, runFolderOf(run.name));
  const lines = (file: string) => (existsSync(join(folder, file)) ? join(folder, file) : null);
  const failure = readFailure({ folder: study, name: run.name });
  const isBegun = holdsRun(folder);
  if (isBegun && readRunKey(folder) !== run.key)
    throw new DataError(
      `${folder}: its run is another one than the study's; move it away, and it is done anew`,
    );
  const summary = isBegun ? readSummary(folder) : null;
  const results = (evaluation: string) => resultsOf(study, evaluation, run.name);
  const isDone =
    summary?.status === 'done' && evaluations.every(({ name }) => hasResults(study, name, run.name));
  const state = stateOf({ isDone, failure, summary, isBegun });
  return {
    ...run,
    folder,
    state,
    summary,
    failure,
    metrics: () => readAll(lines('metrics.jsonl'), readMetrics),
    heldOut: () => readAll(lines(heldOutFile), readHeldOut),
    results,
  };
}

function stateOf(known: {
  isDone: boolean;
  failure: Failure | null;
  summary: RunSummary | null;
  isBegun: boolean;
}): JobState {
  if (known.isDone) return 'done';
  if (known.failure) return 'failed';
  if (known.summary?.status === 'interrupted') return 'interrupted';
  return known.isBegun ? 'begun' : 'waiting';
}

function baseOf(folder: string, manifest: StudyManifest): StudyRecord['base'] {
  const evaluations = baseEvaluations(manifest);
  const failure = readFailure({ folder, name: baseModel });
  const done = evaluations.filter(({ name }) => hasResults(folder, name, baseModel)).length;
  return {
    state: stateOf({ isDone: done === evaluations.length, failure, summary: null, isBegun: done > 0 }),
    failure,
    results: (evaluation) => resultsOf(folder, evaluation, baseModel),
  };
}

/** The name of the job that evaluates the base model. */
export const baseModel = 'base-model';

/** The evaluations of the base model, which has no adapter to merge; none where that control is off. */
export function baseEvaluations({
  off,
  evaluations,
}: Pick<StudyManifest, 'off' | 'evaluations'>): StudyManifest['evaluations'] {
  return off[baseModel] === undefined ? evaluations.filter(({ merged }) => !merged) : [];
}

/** Whether an evaluation of a job is done. */
export function hasResults(study: string, evaluation: string, job: Job['name']): boolean {
  return existsSync(join(study, evaluationFolderOf(evaluation, job), 'results.json'));
}

/** Throws DataError for results that were not made with the adapter of their run, or by the base alone. */
function resultsOf(study: string, evaluation: string, job: string): ResultFolder | null {
  if (!hasResults(study, evaluation, job)) return null;
  const results = readResults(join(study, evaluationFolderOf(evaluation, job)));
  const adapter = join(study, runFolderOf(job), 'adapter');
  const own =
    job === baseModel ? [] : [sourceOf(adapter, openInputFiles().digest(adapter, decidesModel)).sha256];
  const made = results.results.provenance?.adapters.map(({ sha256 }) => sha256);
  if (made?.join() !== own.join()) {
    const whose = job === baseModel ? 'the base model alone' : "the run's adapter";
    throw new DataError(`${results.folder}: was not made with ${whose}; move it away, and it is made anew`);
  }
  return results;
}

function readAll<T>(file: string | null, read: (file: string) => T[]): T[] {
  return file === null ? [] : read(file);
}
