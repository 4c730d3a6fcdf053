import { ConfigError } from '../errors.ts';
import { nearest } from './nearest.ts';

/** The task ids of MBPP's own splits (Austin et al. 2021); MBXP's ids follow them. */
const mbppSplits: Readonly<Record<string, readonly [first: number, last: number]>> = {
  prompt: [1, 10],
  test: [11, 510],
  validation: [511, 600],
  train: [601, 974],
};

/**
 * Whether a split selects a task id: `all`, a range such as `11-510`, one number, one of MBPP's own splits
 * where `named`, or several of these with commas between. Throws ConfigError for other texts.
 */
export function parseSplit(split: string, named: boolean): (id: string) => boolean {
  const names = ['all', ...(named ? Object.keys(mbppSplits) : [])];
  const ranges = split.split(',').map((part) => {
    const name = part.trim();
    if (name === 'all') return [-Infinity, Infinity] as const;
    if (named && Object.hasOwn(mbppSplits, name)) return mbppSplits[name];
    const match = /^(\d+)(?:-(\d+))?$/.exec(name);
    const [first, last] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [1, 0];
    if (first <= last) return [first, last] as const;
    const meant = nearest(name, names);
    const known = `${names.join(', ')}, a range of task ids such as 11-510, or several with commas between`;
    throw new ConfigError(
      `split must be ${known}; got ${JSON.stringify(split)}${meant ? `, is it ${meant}?` : ''}`,
    );
  });
  return (id) => {
    const number = taskNumber(id);
    return ranges.some(([first, last]) => first <= number && number <= last);
  };
}

/**
 * The first whole number in a task id, which splits go by: 23 of `HumanEval_23_strlen`. 0 where there is
 * none.
 */
export function taskNumber(id: string): number {
  return Number(/\d+/.exec(id)?.[0] ?? 0);
}
