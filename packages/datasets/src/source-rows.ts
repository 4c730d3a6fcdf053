import { readdirSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ConfigError, readWhole } from '@flex/base';
import { readFileRows } from './file-rows.ts';
import { decode, type JsonRow } from './json-rows.ts';

/** The two parts of APPS, which lie in folders of these names. */
export type AppsPart = 'train' | 'test';

export interface SourceOptions {
  /** The part to take of a folder in APPS's layout; null takes the first of `parts` that it has. */
  readonly part?: AppsPart | null;
  readonly parts?: readonly AppsPart[];
}

/** The part of a folder in APPS's layout that a split means; null for other splits, and for files of rows. */
export function appsPart(source: string, split: string | null): AppsPart | null {
  if (split !== 'train' && split !== 'test') return null;
  const isFolder = statSync(source, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return isFolder && rowFiles(source).length === 0 ? split : null;
}

/**
 * The rows of a file; of the files of rows in a folder, in order of their names; or of a folder in APPS's
 * layout, whose problems come in order of theirs: the folder of one problem, of problems, of the parts, or
 * one that holds `apps`. Throws what `readFileRows` throws, and ConfigError for a folder that holds neither
 * or not the part, and where the names of its files say several parts, such as train and test.
 */
export async function* readSource(source: string, options: SourceOptions = {}): AsyncGenerator<JsonRow> {
  const stats = statSync(source, { throwIfNoEntry: false });
  if (!stats) throw new ConfigError(`${source}: no such file or folder`);
  if (!stats.isDirectory()) return yield* readFileRows(source);
  const files = rowFiles(source);
  for (const file of files) yield* readFileRows(file);
  if (files.length > 0) return;
  for (const folder of await appsProblems(source, options)) yield readAppsProblem(folder);
}

/** The files of rows in a folder. */
function rowFiles(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => /\.(jsonl(\.gz|\.zst)?|parquet)$/.test(name));
  const parts = names.map((name) => /(?:^|[^a-z])(train|valid|dev|test)/.exec(name)?.[1]);
  const other = parts.findIndex((part) => part !== parts[0]);
  if (other < 0) return names.sort().map((name) => join(folder, name));
  throw new ConfigError(
    `${folder}: holds ${names[0]} and ${names[other]}, which may be different parts; name one file, or a folder of one part`,
  );
}

async function appsProblems(folder: string, options: SourceOptions): Promise<string[]> {
  const { part = null, parts = ['train', 'test'] } = options;
  if (isProblem(folder)) return [folder];
  const entries = (await readdir(folder, { withFileTypes: true })).filter((entry) => !entry.isFile());
  const problems = entries.map(({ name }) => join(folder, name)).filter(isProblem);
  if (problems.length > 0) {
    if (part === null || basename(folder) === part) return problems.sort();
    throw new ConfigError(
      `${folder}: is not ${part}; name the folder that holds ${part}, or leave the split out`,
    );
  }
  const inner = (wanted: string) => entries.find(({ name }) => name.toLowerCase() === wanted)?.name;
  const there = (['train', 'test'] as const).filter(inner);
  const taken = (part === null ? parts : [part]).find((name) => there.includes(name));
  if (taken) return appsProblems(join(folder, inner(taken)!), {});
  if (there.length > 0) {
    throw new ConfigError(`${folder}: has no ${part ?? parts.join(' or ')}; it has ${there.join(', ')}`);
  }
  const apps = inner('apps');
  if (apps) return appsProblems(join(folder, apps), options);
  throw new ConfigError(
    `${folder}: is a folder without files of rows or APPS problems (ID/question.txt); name a file of rows`,
  );
}

function isProblem(folder: string): boolean {
  return statSync(join(folder, 'question.txt'), { throwIfNoEntry: false }) !== undefined;
}

function readAppsProblem(folder: string): JsonRow {
  const read = (name: string): string | null => {
    const path = join(folder, name);
    return statSync(path, { throwIfNoEntry: false }) ? decode(readWhole(path), path) : null;
  };
  const value = {
    problem_id: basename(folder),
    question: read('question.txt'),
    input_output: read('input_output.json'),
    starter_code: read('starter_code.py'),
    solutions: read('solutions.json'),
  };
  return { where: folder, text: '', value };
}
