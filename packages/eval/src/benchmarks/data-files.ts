import { type Dirent, statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ConfigError } from '../errors.ts';
import { decode, type JsonRow, readJsonRows } from './json-rows.ts';

/** Where a benchmark's rows are. */
export interface DataPlace {
  /** A file of rows, or a folder in APPS's layout. */
  readonly path: string;
  /** The part of an APPS folder to take; null for `test`, or for `train` where there is no other. */
  readonly appsSplit: string | null;
}

/** The first of these names, gzipped or not, that is in the folder. Throws ConfigError. */
export function findData(folder: string | null, names: readonly string[], benchmark: string): string {
  const cure = 'give the path of the data with --data';
  if (folder === null)
    throw new ConfigError(`${benchmark}: no data was named and there is no data folder; ${cure}`);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new ConfigError(`${benchmark}: ${folder} is a file, and no data folder; ${cure}`);
  for (const name of names.flatMap((plain) => [plain, `${plain}.gz`])) {
    const path = join(folder, name);
    if (statSync(path, { throwIfNoEntry: false })) return path;
  }
  throw new ConfigError(`${benchmark}: no ${names.join(' or ')} in ${folder}; put it there, or ${cure}`);
}

/** The rows of a file, or the problems of a folder in APPS's layout in order of their names. */
export async function* readData({ path, appsSplit }: DataPlace): AsyncGenerator<JsonRow> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new ConfigError(`${path}: no such file or folder`);
  if (!stats.isDirectory()) {
    yield* readJsonRows(path);
    return;
  }
  for (const folder of await appsProblems(path, appsSplit)) yield await readAppsProblem(folder);
}

/**
 * The problem folders of an APPS folder: of the one that holds `train` and `test`, of its parent, of one of
 * these two, or of one problem.
 */
async function appsProblems(folder: string, split: string | null): Promise<string[]> {
  if (isProblem(folder)) return [folder];
  const entries = (await readdir(folder, { withFileTypes: true })).filter((entry) => !entry.isFile());
  const problems = entries.map((entry) => join(folder, entry.name)).filter(isProblem);
  if (problems.length > 0) return ofSplit(problems.sort(), folder, split);

  const inner = (name: string): Dirent | undefined =>
    entries.find((entry) => entry.name.toLowerCase() === name);
  const parts = ['test', 'train'].filter((name) => inner(name));
  const part = split === null ? parts[0] : parts.find((name) => name === split);
  if (part) return appsProblems(join(folder, part), null);
  if (parts.length > 0) throw new ConfigError(`${folder}: has no ${split}; it has ${parts.join(', ')}`);
  const apps = inner('apps');
  if (apps) return appsProblems(join(folder, apps.name), split);
  throw new ConfigError(
    `${folder}: is a folder without APPS problems (ID/question.txt); name a file of rows`,
  );
}

function ofSplit(problems: string[], folder: string, split: string | null): string[] {
  if (split === null || basename(folder) === split) return problems;
  throw new ConfigError(
    `${folder}: is not ${split}; name the folder that holds ${split}, or leave the split out`,
  );
}

function isProblem(folder: string): boolean {
  return statSync(join(folder, 'question.txt'), { throwIfNoEntry: false }) !== undefined;
}

async function readAppsProblem(folder: string): Promise<JsonRow> {
  const where = join(basename(dirname(folder)), basename(folder));
  const read = async (name: string): Promise<string | null> => {
    try {
      return decode(await readFile(join(folder, name)), join(where, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  };
  const value = {
    problem_id: basename(folder),
    question: await read('question.txt'),
    input_output: await read('input_output.json'),
    starter_code: await read('starter_code.py'),
    solutions: await read('solutions.json'),
  };
  return { where, text: '', value };
}
