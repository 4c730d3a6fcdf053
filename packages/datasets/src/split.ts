import { ConfigError, DataError, nearestName } from '@flex/base';
import type { Format, Row } from './format.ts';

/** What a split selects: `all` every row, any other the rows whose task number it names. */
export interface Split {
  readonly text: string;
  /** Whether it is by task numbers, which rows must then have. */
  readonly numbered: boolean;
  /** Whether it names one of MBPP's own splits, which mean nothing for tasks that are not MBPP's. */
  readonly named: boolean;
  /** The names that it consists of; empty where a part of it is a range or `all`. */
  readonly names: readonly string[];
  readonly selects: (id: string | null) => boolean;
}

/** The task numbers of MBPP's own splits (Austin et al. 2021); MBXP's follow them. */
const mbppSplits: ReadonlyMap<string, readonly [first: number, last: number]> = new Map([
  ['train', [601, 974]],
  ['validation', [511, 600]],
  ['test', [11, 510]],
  ['prompt', [1, 10]],
]);
const splits: typeof mbppSplits = new Map([...mbppSplits, ['all', [0, Infinity]]]);

/** What a split may be, in words, for messages. */
export const splitSyntax = `${[...splits.keys()].join(', ')}, a range of task ids such as 11-510, or several with commas between`;

/**
 * The number of a task, by which splits go, in training and in evaluation alike: the first whole number after
 * the last slash of its id. 601 of `601` and `MBJP/601`, 23 of `HumanEval_23_strlen`; null where there is
 * none.
 */
export function taskNumber(id: string | null): number | null {
  const digits = /\d+/.exec(id?.slice(id.lastIndexOf('/') + 1) ?? '')?.[0];
  return digits === undefined ? null : Number(digits);
}

/**
 * The split that a text such as `train`, `11-510` or `prompt,511-600,7` names; undefined if it names none.
 */
export function readSplit(text: string): Split | undefined {
  const parts = text.split(',').map((part) => part.trim());
  const ranges = parts.map((part) => splits.get(part) ?? readRange(part));
  if (!ranges.every((range) => range !== undefined)) return undefined;
  const all = parts.includes('all');
  const names = parts.filter((part) => mbppSplits.has(part));
  return {
    text,
    numbered: !all,
    named: !all && names.length > 0,
    names: names.length === parts.length ? names : [],
    selects: (id) => {
      const number = taskNumber(id);
      return all || (number !== null && ranges.some(([first, last]) => first <= number && number <= last));
    },
  };
}

function readRange(part: string): readonly [number, number] | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(part);
  if (!match) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
  return first <= last ? [first, last] : undefined;
}

/** As readSplit, but throws ConfigError for a text that names no split. */
export function parseSplit(text: string): Split {
  const split = readSplit(text);
  if (split) return split;
  const wrong = text.split(',').find((part) => !readSplit(part)) ?? '';
  const meant = nearestName(wrong.trim(), splits.keys());
  const hint = meant ? `, is it ${meant}?` : '';
  throw new ConfigError(`split must be ${splitSyntax}; got ${JSON.stringify(text)}${hint}`);
}

/** A row that was read, and its place, for messages. */
interface PlacedRow {
  readonly where: string;
  readonly row: Row;
}

/** Whether all of these rows are tasks of MBPP's, for which the names of its splits stand. */
export function areMbppTasks(rows: readonly PlacedRow[], { mbppIds }: Format): boolean {
  return mbppIds !== undefined && rows.every(({ row }) => mbppIds.test(row.id ?? ''));
}

/**
 * Whether each of these rows says what part of its set it is in, for which the names of splits then stand.
 */
export function haveParts(rows: readonly PlacedRow[]): boolean {
  return rows.every(({ row }) => row.part != null);
}

/**
 * The rows of a source that a split selects, by the parts they say they are in or by their task numbers.
 * Throws DataError for a name of MBPP's where rows are none of its tasks and say no part, for task numbers
 * where a row has none, and where none is selected.
 */
export function selectRows<R extends PlacedRow>(
  rows: readonly R[],
  split: Split,
  format: Format,
  source: string,
): R[] {
  const { text, numbered, named, names, selects } = split;
  if (names.length > 0 && haveParts(rows)) {
    const selected = rows.filter(({ row }) => names.includes(row.part!));
    if (selected.length > 0) return selected;
    const parts = [...new Set(rows.map(({ row }) => row.part))].join(', ');
    throw new DataError(`${source}: split ${text} selects no row; its rows are of ${parts}`);
  }
  const without = numbered && rows.find(({ row }) => taskNumber(row.id) === null);
  if (without) {
    const lack = without.row.id === null ? 'has no task_id' : `has no number in its id ${without.row.id}`;
    throw new DataError(`${without.where}: ${lack}, which split ${text} needs; take all`);
  }
  if (named && !areMbppTasks(rows, format)) {
    throw new DataError(
      `${source}: split ${text} is one of MBPP's, and these are ${format.name} rows; take all or a range of task ids`,
    );
  }
  const selected = rows.filter(({ row }) => selects(row.id));
  if (selected.length > 0) return selected;
  const numbers = rows.map(({ row }) => taskNumber(row.id) ?? 0);
  const [least, most] = numbers.reduce(([a, b], n) => [Math.min(a, n), Math.max(b, n)], [Infinity, 0]);
  throw new DataError(`${source}: split ${text} selects no row; its task ids are ${least} to ${most}`);
}
