import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Code,
  commandLine,
  DataError,
  describeMachine,
  digestJson,
  makeFolder,
  onDisk,
  parseJson,
  readWhole,
  writeAtomic,
} from '@flex/base';
import { printConfig } from '@flex/train';
import { stringify } from 'yaml';
import { type Failure, failureSchema, type Job } from './job.ts';
import { manifestSchema, type StudyManifest, type StudyStart } from './manifest.ts';
import type { StudyPlan } from './plan-study.ts';
import { readRecord } from './read-record.ts';
import { requireGrowth } from './require-growth.ts';

const manifestFile = 'study.json';

/** The folder of a run, relative to its study's. */
export const runFolderOf = (run: string): string => join('runs', run);
/** The configuration file of a run, relative to its study's folder. */
export const configFileOf = (run: string): string => join('configs', `${run}.yaml`);
/** The folder of an evaluation of a job, relative to its study's. */
export const evaluationFolderOf = (evaluation: string, job: string): string =>
  join('evaluations', evaluation, job);
/** What the commands of a job said on standard error, relative to its study's folder. */
export const logFileOf = (job: string): string => join('logs', `${job}.log`);
const failureFileOf = (job: string): string => join('failures', `${job}.json`);

/** Whether a folder holds a study. */
export function holdsStudy(folder: string): boolean {
  const file = join(folder, manifestFile);
  if (!existsSync(file)) return false;
  const value = parseJson(readWhole(file).toString(), file) as Partial<StudyManifest> | null;
  return value?.kind === 'flex-study';
}

/**
 * The manifest of a study's folder. Throws DataError where there is none, or one that is malformed or whose
 * digest is not that of its runs and evaluations.
 */
export function readStudyManifest(folder: string): StudyManifest {
  if (!holdsStudy(folder)) throw new DataError(`${folder}: holds no study`);
  const file = join(folder, manifestFile);
  const manifest = readRecord(file, manifestSchema);
  if (studyDigest(manifest) !== manifest.digest)
    throw new DataError(`${file}: its digest is not that of its runs and evaluations: it was changed`);
  return manifest;
}

/** SHA-256 of what decides a study's results: the keys of its runs, and its evaluations. */
export function studyDigest({ runs, evaluations }: Pick<StudyManifest, 'runs' | 'evaluations'>): string {
  return digestJson([runs.map(({ key }) => key).sort(), evaluations]);
}

/** The study that a folder has; null: none. Throws ConfigError where this one is not grown from it. */
export function requireFolder(plan: StudyPlan): StudyManifest | null {
  const { out } = plan.study;
  if (!holdsStudy(out)) return null;
  const before = readStudyManifest(out);
  requireGrowth(before, plan, (run) => join(out, configFileOf(run)));
  return before;
}

/**
 * Writes what a study is to do: study.json, study.yaml and the configuration of each run. A study that is
 * there may grow by arms, seeds and evaluations; throws ConfigError where it would lose or change some, as
 * results that were seen must not decide what counts.
 */
export function writeStudy(plan: StudyPlan, code: Code): StudyManifest {
  const { study, arms, runs, digest } = plan;
  const { out } = study;
  const before = requireFolder(plan);
  const start: StudyStart = {
    at: new Date().toISOString(),
    command: commandLine(),
    code,
    machine: describeMachine(),
    runs: runs.length,
  };
  const manifest: StudyManifest = {
    kind: 'flex-study',
    title: study.title,
    notes: study.notes,
    claims: study.claims,
    digest,
    arms: arms.map(({ overrides: _, ...arm }) => arm),
    runs: runs.map(({ config: _, ...run }) => run),
    seeds: study.seeds,
    off: study.off,
    halving: study.search?.halving ?? null,
    evaluations: study.evaluations,
    model: runs[0].config.model,
    history: [...(before?.history ?? []), start],
  };
  makeFolder(out);
  for (const { name, config } of runs) {
    const file = join(out, configFileOf(name));
    makeFolder(join(file, '..'));
    writeAtomic(file, printConfig(config));
  }
  writeAtomic(join(out, 'study.yaml'), stringify(study.written, { lineWidth: 0 }));
  writeAtomic(join(out, manifestFile), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** Why a job failed the last time; null where it did not. */
export function readFailure({ folder, name }: Pick<Job, 'folder' | 'name'>): Failure | null {
  const file = join(folder, failureFileOf(name));
  return existsSync(file)
    ? readRecord(file, failureSchema, 'remove the file, and the job is done again')
    : null;
}

export function writeFailure({ folder, name }: Pick<Job, 'folder' | 'name'>, failure: Failure): void {
  const file = join(folder, failureFileOf(name));
  makeFolder(join(file, '..'));
  writeAtomic(file, `${JSON.stringify(failure, null, 2)}\n`);
}

export function removeFailure({ folder, name }: Pick<Job, 'folder' | 'name'>): void {
  const file = join(folder, failureFileOf(name));
  onDisk(file, () => rmSync(file, { force: true }));
}
