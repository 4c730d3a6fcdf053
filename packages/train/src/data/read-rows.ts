import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ConfigError, DataError } from '@flex/base';
import {
  describe,
  type FormatName,
  idsShape,
  integers,
  isMbppTask,
  matchesIds,
  type RawRow,
  type TextFormat,
  taskIdOf,
  textFormats,
} from './formats.ts';
import { parseSplit, type Split, selects } from './split.ts';
import { fill, type Template } from './template.ts';

/** An example as text: the completion is what is to be learnt, the prompt what it follows. */
export interface TextRow {
  /** File and line, for messages. */
  readonly where: string;
  readonly taskId: number | null;
  readonly prompt: string;
  readonly completion: string;
}

/** An example as token ids. `labels` is as long as `inputIds`, −100 where nothing is scored; null scores all. */
export interface IdsRow {
  readonly where: string;
  readonly taskId: number | null;
  readonly inputIds: readonly number[];
  readonly labels: readonly number[] | null;
}

export type Row = TextRow | IdsRow;

export interface ReadOptions {
  /** See parseSplit. Null takes `train` of rows with MBPP's task ids (MBPP, MBXP), and `all` of others. */
  readonly split?: string | null;
  /** `auto` tells the rows apart by the keys of the first; another name takes them as that. */
  readonly format?: FormatName | 'auto';
  /** Makes prompt and completion of each row's fields, in place of the format's own template. */
  readonly template?: Template | null;
}

/** The rows that a split selects from a source, in the order of the source. */
export interface Rows {
  readonly format: FormatName;
  /** The split that was taken. */
  readonly split: string;
  readonly rows: readonly Row[];
  /** How many selected rows were left out because they have no solution. */
  readonly withoutSolution: number;
}

interface Line {
  readonly where: string;
  readonly row: RawRow;
}

/**
 * The rows of `source` that the split selects: JSON Lines, gzipped if the name ends in .gz, or a folder in
 * APPS's layout. All rows are of one format.
 *
 * Throws ConfigError for a missing source, an unknown split or template field, and DataError, with file and
 * line, for a row that is malformed or of another shape, and where the split selects nothing.
 */
export function readRows(source: string, options: ReadOptions = {}): Rows {
  const lines = readLines(source);
  const file = basename(source);
  const format = formatOf(lines, options.format ?? 'auto', file);
  const name = format === 'input-ids' ? format : format.name;
  const split = chooseSplit(options.split ?? null, lines, name, file);
  const selected = lines.filter(({ row }) => selects(split, taskIdOf(row)));
  if (selected.length === 0)
    throw new DataError(`${file}: split ${split.text} selects no row; ${ids(lines)}`);

  const rows = selected.map((line) => readRow(line, format, options));
  const solved = rows.filter((row) => row !== null);
  if (solved.length === 0) throw new DataError(`${file}: no row of split ${split.text} has a solution`);
  return { format: name, split: split.text, rows: solved, withoutSolution: rows.length - solved.length };
}

function readRow(
  { where, row }: Line,
  format: TextFormat | 'input-ids',
  { template }: ReadOptions,
): Row | null {
  const taskId = taskIdOf(row);
  if (format === 'input-ids') {
    if (template) throw new ConfigError(`template: rows of token ids, as ${where}, have no texts to fill in`);
    const labels = 'labels' in row ? integers(row, 'labels', where) : null;
    return { where, taskId, inputIds: integers(row, 'input_ids', where), labels };
  }
  const fields = format.fields(row, where);
  if (fields === null) return null;
  const { prompt, completion } = template ?? format.template;
  return { where, taskId, prompt: fill(prompt, fields, where), completion: fill(completion, fields, where) };
}

/** The format of all lines. Under `auto` it is that of the first, and every other must match it too. */
function formatOf(
  lines: readonly Line[],
  wanted: FormatName | 'auto',
  file: string,
): TextFormat | 'input-ids' {
  if (lines.length === 0) throw new DataError(`${file}: has no rows`);
  if (wanted === 'input-ids') return wanted;
  if (wanted !== 'auto') return textFormats.find(({ name }) => name === wanted) as TextFormat;
  const first = recognize(lines[0]);
  for (const line of lines) {
    if (first !== recognize(line)) {
      const name = first === 'input-ids' ? first : first.name;
      throw new DataError(`${line.where}: has the keys ${keysOf(line)}; the rows before it are ${name} rows`);
    }
  }
  return first;
}

function recognize(line: Line): TextFormat | 'input-ids' {
  const keys = new Set(Object.keys(line.row));
  if (matchesIds(keys)) return 'input-ids';
  const format = textFormats.find(({ matches }) => matches(keys));
  if (format) return format;
  const shapes = [idsShape, ...textFormats.map(({ shape }) => shape)].join(', ');
  throw new DataError(`${line.where}: has the keys ${keysOf(line)}; known rows are ${shapes}`);
}

function keysOf({ row }: Line): string {
  return Object.keys(row).join(', ') || '(none)';
}

function chooseSplit(text: string | null, lines: readonly Line[], name: FormatName, file: string): Split {
  const mbpp = lines.every(({ row }) => isMbppTask(row, name));
  const split = parseSplit(text ?? (mbpp ? 'train' : 'all'));
  if (split.ranges === 'all') return split;
  const without = lines.find(({ row }) => taskIdOf(row) === null);
  if (without)
    throw new DataError(`${without.where}: has no task_id, which split ${split.text} needs; take all`);
  if (split.named && !mbpp) {
    const hint = 'take all or a range of task ids';
    throw new DataError(`${file}: split ${split.text} is one of MBPP's, and these are ${name} rows; ${hint}`);
  }
  return split;
}

function ids(lines: readonly Line[]): string {
  const numbers = lines.map(({ row }) => taskIdOf(row) ?? 0);
  const [least, most] = numbers.reduce(([a, b], n) => [Math.min(a, n), Math.max(b, n)], [Infinity, 0]);
  return `its task ids are ${least} to ${most}`;
}

function readLines(source: string): Line[] {
  const stats = statSync(source, { throwIfNoEntry: false });
  if (!stats) throw new ConfigError(`${source}: no such file or folder`);
  if (stats.isDirectory()) return readAppsFolder(source);
  if (/\.parquet$/i.test(source)) {
    throw new ConfigError(`${source}: Parquet is not built yet; write the rows as JSON Lines`);
  }
  return readJsonLines(source);
}

function readJsonLines(source: string): Line[] {
  const bytes = readBytes(source);
  const file = basename(source);
  const lines: Line[] = [];
  // JSON text may hold line separators of Unicode, so that only \n ends a line.
  for (let start = 0, number = 1; start < bytes.length; number++) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline;
    const where = `${file}:${number}`;
    const text = decode(bytes.subarray(start, end), where);
    if (text.trim() !== '') lines.push({ where, row: parseObject(text, where) });
    start = end + 1;
  }
  return lines;
}

function readBytes(source: string): Buffer {
  const bytes = readFileSync(source);
  if (!source.endsWith('.gz')) return bytes;
  try {
    return gunzipSync(bytes);
  } catch (error) {
    throw new DataError(`${basename(source)}: is not whole gzip: ${(error as Error).message}`);
  }
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new DataError(`${where}: is not UTF-8: ${(error as Error).message}`);
  }
}

function parseObject(text: string, where: string): RawRow {
  const value = parseJson(text, where);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as RawRow;
  throw new DataError(`${where}: a row must be a JSON object, got ${describe(value)}`);
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DataError(`${where}: is not JSON: ${(error as Error).message}`);
  }
}

/** APPS's layout: a folder a problem, with question.txt, solutions.json and perhaps starter_code.py. */
function readAppsFolder(source: string): Line[] {
  const problems = readdirSync(source)
    .sort()
    .filter((id) => statSync(join(source, id, 'question.txt'), { throwIfNoEntry: false }));
  if (problems.length === 0) {
    throw new DataError(`${source}: is a folder without problems (ID/question.txt); name a file of rows`);
  }
  return problems.map((id) => {
    const read = (name: string): string | undefined => {
      const file = join(source, id, name);
      if (!statSync(file, { throwIfNoEntry: false })) return undefined;
      return decode(readFileSync(file), join(id, name));
    };
    const solutions = parseJson(read('solutions.json') ?? '[]', join(id, 'solutions.json'));
    const row = {
      problem_id: id,
      question: read('question.txt'),
      solutions,
      starter_code: read('starter_code.py'),
    };
    return { where: join(basename(source), id), row };
  });
}
