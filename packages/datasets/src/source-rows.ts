import { statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ConfigError, readWhole } from '@flex/base';
import { decode, type JsonRow, readJsonRows } from './json-rows.ts';

/** The two parts of APPS, which lie in folders of these names. */
export type AppsPart = 'train' | 'test';

export interface SourceOptions {
  /** The part to take of a folder in APPS's layout; null takes the first of `parts` that it has. */
  readonly part?: AppsPart | null;
  readonly parts?: readonly AppsPart[];
}

/** The part of a folder in APPS's layout that a split means; null for other splits, and for a file. */
export function appsPart(source: string, split: string | null): AppsPart | null {
  if (split !== 'train' && split !== 'test') return null;
  return statSync(source, { throwIfNoEntry: false })?.isDirectory() ? split : null;
}

/**
 * The rows of a file, or of a folder in APPS's layout, whose problems come in order of their names: the
 * folder of one problem, of problems, of the parts, or one that holds `apps`. Throws what `readJsonRows` throws, and
 * ConfigError for a folder that holds no problems or not the part.
 */
export async function* readSource(source: string, options: SourceOptions = {}): AsyncGenerator<JsonRow> {
  const stats = statSync(source, { throwIfNoEntry: false });
  if (!stats) throw new ConfigError(`${source}: no such file or folder`);
  if (!stats.isDirectory()) return yield* readJsonRows(source);
  for (const folder of await appsProblems(source, options)) yield readAppsProblem(folder);
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
    `${folder}: is a folder without APPS problems (ID/question.txt); name a file of rows`,
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
