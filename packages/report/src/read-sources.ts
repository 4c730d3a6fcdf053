import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { DataError } from '@flex/base';
import { type ResultFolder, readResults, resultFiles } from '@flex/eval';
import { holdsStudy, readStudy, type StudyRecord } from '@flex/study';
import { holdsRun, readMetrics, readSummary } from '@flex/train';
import type { LoneRun } from './run-report.ts';

/** What a report is of. */
export interface Sources {
  readonly studies: readonly StudyRecord[];
  readonly runs: readonly LoneRun[];
  readonly evaluations: readonly ResultFolder[];
}

/**
 * The studies, runs and evaluations in folders; a folder that is none of these is looked into for some, one
 * level deep. A folder counts once. Throws DataError for one without, and for records that are malformed.
 */
export function readSources(paths: readonly string[]): Sources {
  const folders = [...new Set(paths.map((path) => resolve(path)).flatMap(recordsIn))];
  const runs = folders.filter((folder) => kindOf(folder) === 'run');
  return {
    studies: folders.filter((folder) => kindOf(folder) === 'study').map(readStudy),
    runs: runs.map((folder, i) => runIn(folder, namesOf(runs)[i])),
    evaluations: folders.filter((folder) => kindOf(folder) === 'evaluation').map(readResults),
  };
}

function recordsIn(folder: string): string[] {
  if (!existsSync(folder)) throw new DataError(`${folder}: there is no such folder`);
  if (!statSync(folder).isDirectory()) {
    throw new DataError(`${folder}: is a file; needs the folder of a run, an evaluation or a study`);
  }
  if (kindOf(folder) !== null) return [folder];
  const inside = readdirSync(folder)
    .sort()
    .map((name) => join(folder, name))
    .filter((path) => kindOf(path) !== null);
  if (inside.length > 0) return inside;
  throw new DataError(`${folder}: holds no run, no evaluation with results, and no study`);
}

function kindOf(folder: string): 'study' | 'run' | 'evaluation' | null {
  if (holdsStudy(folder)) return 'study';
  if (holdsRun(folder)) return 'run';
  return existsSync(join(folder, resultFiles.results)) ? 'evaluation' : null;
}

function runIn(folder: string, name: string): LoneRun {
  const file = join(folder, 'metrics.jsonl');
  const metrics = () => (existsSync(file) ? readMetrics(file) : []);
  return { name, folder, summary: readSummary(folder), metrics };
}

/** The last parts of the paths, as many as tell them apart. */
export function namesOf(folders: readonly string[]): string[] {
  const parts = folders.map((folder) => folder.split(/[\\/]/));
  for (let count = 1; count < Math.max(1, ...parts.map(({ length }) => length)); count++) {
    const names = parts.map((part) => part.slice(-count).join('/'));
    if (new Set(names).size === names.length) return names;
  }
  return folders.map((folder) => basename(folder));
}
