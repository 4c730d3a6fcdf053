import { join } from 'node:path';
import { DataError, parseJson } from '@flex/base';
import { type Curve, newCurve } from './curve.ts';
import { followLines } from './follow-lines.ts';

/** What metrics.jsonl says of a run, as far as it goes. */
export interface FollowedRun {
  /** Changes whenever the lines begin anew, so that curves from before are void. */
  readonly epoch: number;
  /** A curve for each column of numbers, in the order in which they were met. */
  readonly curves: ReadonlyMap<string, Curve>;
  /** The last value of a column, with the update that it is of; null is one that is not finite. */
  last(column: string): { readonly step: number; readonly value: number | null } | undefined;
  /** Updates done. */
  readonly step: number;
  /** Wall time of the updates. */
  readonly seconds: number;
  /** What the lines warn of, newest last. */
  readonly warnings: readonly string[];
  /** When a line was last written, milliseconds since 1970; null before the first. */
  readonly written: number | null;
  /** What is wrong with the lines, in one line; null where nothing is. */
  readonly problem: string | null;
  /** Reads what is new. */
  poll(): Promise<void>;
}

/** What the column of a held-out set's losses begins with. */
export const heldOutPrefix = 'eval.';

/** Columns that count, or are no numbers of a curve. */
const notCurves = ['step', 'epoch'];

/** Follows a run's metrics.jsonl, which may not be there yet, with curves of so many points at most. */
export function followRun(folder: string, capacity: number): FollowedRun {
  const path = join(folder, 'metrics.jsonl');
  const curves = new Map<string, Curve>();
  const last = new Map<string, { step: number; value: number | null }>();
  let warnings: string[] = [];
  let [epoch, step, seconds] = [0, 0, 0];
  let problem: string | null = null;
  const add = (column: string, value: number | null) => {
    let curve = curves.get(column);
    if (!curve) {
      curve = newCurve(capacity);
      curves.set(column, curve);
    }
    curve.add(step, value);
    last.set(column, { step, value });
  };
  const file = followLines(path, {
    restart() {
      epoch++;
      [step, seconds] = [0, 0];
      warnings = [];
      curves.clear();
      last.clear();
    },
    line(text, number) {
      const where = `${path}:${number}`;
      const value = parseJson(text, where) as Readonly<Record<string, unknown>> | null;
      if (!Number.isSafeInteger(value?.step)) throw new DataError(`${where}: has no step`);
      const { eval: heldOut, warnings: warned, ...columns } = value!;
      step = Number(columns.step);
      seconds += Number(columns.seconds ?? 0);
      if (Array.isArray(warned)) warnings.push(...warned.map(String));
      for (const [name, number] of numbersOf(columns)) if (!notCurves.includes(name)) add(name, number);
      for (const [set, loss] of numbersOf(heldOut)) add(heldOutPrefix + set, loss);
    },
  });
  return {
    get epoch() {
      return epoch;
    },
    get step() {
      return step;
    },
    get seconds() {
      return seconds;
    },
    get warnings() {
      return warnings;
    },
    get problem() {
      return problem;
    },
    get written() {
      return file.written;
    },
    curves,
    last: (column) => last.get(column),
    async poll() {
      try {
        if (await file.poll()) problem = null;
      } catch (error) {
        problem = (error as Error).message;
      }
    },
  };
}

/** Members that are numbers, or null as JSON has what is not finite. */
function numbersOf(value: unknown): [name: string, value: number | null][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).filter(
    (entry): entry is [string, number | null] => entry[1] === null || typeof entry[1] === 'number',
  );
}
