import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ConfigError } from '@flex/base';
import { type Detectable, detectableByMeans, signFlipP } from '@flex/eval';
import { heldOutFile, readHeldOut, readSummary } from '@flex/train';
import { heldOutOf, heldOutScores } from './measures.ts';
import { studentQuantile } from './statistics/student-t.ts';

/** Two runs on a held-out set that both have, after their last updates. Losses are nats a token. */
export interface SetComparison {
  readonly set: string;
  /** Examples. */
  readonly n: number;
  readonly a: number;
  readonly b: number;
  /** b's less a's. */
  readonly difference: number;
  /** Student's, over examples. */
  readonly ci95: readonly [number, number];
  /** Of the paired permutation test over examples, two-sided. */
  readonly p: number;
  readonly detectable: Detectable;
}

export interface RunComparison {
  /** Folders, absolute. */
  readonly a: string;
  readonly b: string;
  readonly sets: readonly SetComparison[];
  /** Sets of one name that differ in examples or tokens, or have losses that are not finite. */
  readonly not_compared: readonly string[];
}

/**
 * Compares two runs example by example. It is about these two: other seeds are in neither interval nor test,
 * so that it says nothing of the ways in which they were trained. Throws DataError for folders that hold no
 * run, and ConfigError where one is not done or they have no held-out set in common.
 */
export function compareRuns(a: string, b: string): RunComparison {
  const [setsA, setsB] = [a, b].map(setsOf);
  const pairs = setsA.flatMap((one) => {
    const other = setsB.find(({ set }) => set === one.set);
    return other ? [[one, other] as const] : [];
  });
  if (pairs.length === 0) {
    throw new ConfigError(
      `compare: ${a} and ${b} have no held-out set in common, so nothing to be compared by`,
    );
  }
  const sets: SetComparison[] = [];
  const not_compared: string[] = [];
  for (const [lineA, lineB] of pairs) {
    const [scoresA, scoresB] = [heldOutScores(lineA), heldOutScores(lineB)];
    const isSame = lineA.rows.length > 1 && lineA.rows.join('\n') === lineB.rows.join('\n');
    if (!scoresA || !scoresB || !isSame || scoresA.protocol !== scoresB.protocol) {
      not_compared.push(lineA.set);
      continue;
    }
    const gains = scoresB.values.map((value, i) => value - scoresA.values[i]);
    const difference = scoresB.value - scoresA.value;
    sets.push({
      set: lineA.set,
      n: gains.length,
      a: scoresA.value,
      b: scoresB.value,
      difference,
      ci95: intervalOf(gains, difference),
      p: signFlipP(gains),
      detectable: detectableByMeans(gains),
    });
  }
  return { a: resolve(a), b: resolve(b), sets, not_compared };
}

/** The last evaluation of each held-out set of a run. */
function setsOf(folder: string) {
  const summary = readSummary(folder);
  if (summary?.status !== 'done') {
    throw new ConfigError(
      `compare: ${folder} is ${summary?.status ?? 'not done'}; compare runs that are done`,
    );
  }
  const file = join(folder, heldOutFile);
  if (!existsSync(file)) throw new ConfigError(`compare: ${folder} has no held-out data to compare on`);
  const heldOut = () => readHeldOut(file);
  return heldOutOf({ summary, heldOut }).map(({ last }) => last);
}

function intervalOf(gains: readonly number[], mean: number): [number, number] {
  const squares = gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0);
  const df = gains.length - 1;
  const half = studentQuantile(0.05, df) * Math.sqrt(squares / df / gains.length);
  return [mean - half, mean + half];
}
