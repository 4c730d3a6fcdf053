import { ConfigError } from '@flex/base';

/** Task ids from `first` to `last`, both included. */
export interface IdRange {
  readonly first: number;
  readonly last: number;
}

/** What a split selects: every row, or the rows whose task id lies in one of the ranges. */
export interface Split {
  readonly text: string;
  readonly ranges: 'all' | readonly IdRange[];
  /** Whether a name of MBPP's own splits was used, which means nothing for other task ids. */
  readonly named: boolean;
}

/** The task ids of MBPP's own splits (Austin et al. 2021); MBXP's ids follow them. */
const mbppSplits: ReadonlyMap<string, IdRange> = new Map([
  ['prompt', { first: 1, last: 10 }],
  ['test', { first: 11, last: 510 }],
  ['validation', { first: 511, last: 600 }],
  ['train', { first: 601, last: 974 }],
]);

/** What a split may be, in words, for messages. */
export const splitSyntax =
  'train, validation, test, prompt, all, a range of task ids such as 11-510, or several with commas between';

/** The split that a text such as `train`, `11-510` or `prompt,511-600,7` names; undefined if it names none. */
export function readSplit(text: string): Split | undefined {
  const parts = text.split(',').map((part) => part.trim());
  const ranges: IdRange[] = [];
  for (const part of parts) {
    const range = part === 'all' ? { first: 0, last: Infinity } : (mbppSplits.get(part) ?? readRange(part));
    if (!range) return undefined;
    ranges.push(range);
  }
  if (parts.includes('all')) return { text, ranges: 'all', named: false };
  return { text, ranges, named: parts.some((part) => mbppSplits.has(part)) };
}

/** As readSplit, but throws ConfigError for a text that names no split. */
export function parseSplit(text: string): Split {
  const split = readSplit(text);
  if (!split) throw new ConfigError(`split must be ${splitSyntax}, got ${JSON.stringify(text)}`);
  return split;
}

/** Whether the split selects a row of this task id; null (a row without one) is selected by `all` alone. */
export function selects({ ranges }: Split, taskId: number | null): boolean {
  if (ranges === 'all') return true;
  return taskId !== null && ranges.some(({ first, last }) => first <= taskId && taskId <= last);
}

function readRange(part: string): IdRange | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(part);
  if (!match) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first <= last ? { first, last } : undefined;
}
