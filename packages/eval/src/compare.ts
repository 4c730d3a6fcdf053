import { ConfigError } from '@flex/base';
import type { LanguageId, Verdict } from '@flex/judge';
import type { Completion } from './benchmark.ts';
import type { ProblemCount } from './pass-at-k.ts';
import type { ResultFolder, ResultProblem } from './read-results.ts';
import { passKeys, type SampleRow } from './results.ts';
import { passInterval, sampleCounts } from './score.ts';
import { bootstrapMean } from './statistics/bootstrap.ts';
import { type Detectable, detectableByMcnemar, detectableByMeans } from './statistics/detectable.ts';
import { mcnemarP } from './statistics/mcnemar.ts';
import { signFlipP } from './statistics/sign-flip.ts';

/** One of the two systems, on the problems compared. */
export interface ComparedSide {
  readonly folder: string;
  readonly 'pass@1': number;
  readonly ci95: readonly [low: number, high: number];
  readonly samples_per_problem: number;
  readonly protocol: string;
}

/** A part of the protocol that differs, by its key path; undefined where a side lacks it. */
export interface ProtocolDifference {
  readonly part: string;
  readonly a: unknown;
  readonly b: unknown;
}

/** One system on one problem, by a sample that speaks for it: a pass if it did better there, else none. */
export interface ProblemSide extends ProblemCount {
  readonly verdict: Verdict;
  readonly detail: string;
  readonly answer: Completion | null;
}

/** A problem on which the shares of samples that passed differ. */
export interface DiscordantProblem {
  readonly task_id: string;
  readonly language: LanguageId;
  readonly a: ProblemSide;
  readonly b: ProblemSide;
}

/** Two evaluations on the same problems. Shares are of 1. */
export interface Comparison {
  readonly benchmark: string;
  /** Problems compared. */
  readonly n: number;
  /** Problems that a side has no sample of and its protocol drops: no part of the comparison. */
  readonly left_out: number;
  readonly a: ComparedSide;
  readonly b: ComparedSide;
  /** pass@1 of b less that of a. */
  readonly difference: number;
  /** The paired bootstrap's 95 % interval of the difference; null where no problem tells the two apart. */
  readonly ci95: readonly [low: number, high: number] | null;
  /**
   * `mcnemar`, exact, for one sample a problem; else `sign-flip`, the paired permutation test over problems.
   */
  readonly test: { readonly name: 'mcnemar' | 'sign-flip'; readonly p: number };
  /** Problems on which the share of a, or of b, is the larger. */
  readonly only_a: number;
  readonly only_b: number;
  readonly detectable: Detectable;
  /** Empty unless forced. */
  readonly protocol_differences: readonly ProtocolDifference[];
  readonly discordant: readonly DiscordantProblem[];
}

/**
 * Compares two evaluations problem by problem. Throws ConfigError for different benchmarks or problems, and,
 * unless `force`, for different protocols: the line names the parts that differ.
 */
export function compare(a: ResultFolder, b: ResultFolder, { force }: { force: boolean }): Comparison {
  const pairs = paired(a, b);
  const differences = protocolDifferences(a.results.protocol_parts, b.results.protocol_parts);
  if (differences.length > 0 && !force) {
    throw new ConfigError(
      `compare: the protocols differ: ${differences.map(differenceText).join(', ')}; ` +
        'evaluate both alike, or compare them all the same with --force',
    );
  }
  const counted = pairs.flatMap(({ a: problemA, b: problemB, countA, countB }) =>
    countA === null || countB === null ? [] : [{ a: problemA, b: problemB, countA, countB }],
  );
  if (counted.length === 0) throw new ConfigError('compare: there is no problem that both have samples of');
  const gains = counted.map(({ countA, countB }) => countB.c / countB.n - countA.c / countA.n);
  const onlyA = gains.filter((gain) => gain < 0).length;
  const onlyB = gains.filter((gain) => gain > 0).length;
  const isSingle = counted.every(({ countA, countB }) => countA.n === 1 && countB.n === 1);
  return {
    benchmark: a.results.benchmark,
    n: counted.length,
    left_out: pairs.length - counted.length,
    a: sideOf(
      a,
      counted.map(({ countA }) => countA),
    ),
    b: sideOf(
      b,
      counted.map(({ countB }) => countB),
    ),
    difference: mean(gains),
    ci95: onlyA + onlyB === 0 ? null : bootstrapMean(gains),
    test: isSingle
      ? { name: 'mcnemar', p: mcnemarP(onlyA, onlyB) }
      : { name: 'sign-flip', p: signFlipP(gains) },
    only_a: onlyA,
    only_b: onlyB,
    detectable: isSingle ? detectableByMcnemar(counted.length, onlyA + onlyB) : detectableByMeans(gains),
    protocol_differences: differences,
    discordant: counted.flatMap(({ a, b, countA, countB }, i) =>
      gains[i] === 0
        ? []
        : [
            {
              task_id: a.id,
              language: a.language,
              a: problemSide(a, countA, gains[i] < 0),
              b: problemSide(b, countB, gains[i] > 0),
            },
          ],
    ),
  };
}

interface Pair {
  readonly a: ResultProblem;
  readonly b: ResultProblem;
  readonly countA: ProblemCount | null;
  readonly countB: ProblemCount | null;
}

/** The problems of both, in a's order. Throws ConfigError unless they are the same ones. */
function paired(a: ResultFolder, b: ResultFolder): Pair[] {
  if (a.results.benchmark !== b.results.benchmark) {
    throw new ConfigError(
      `compare: different benchmarks: ${a.results.benchmark} in ${a.folder}, ` +
        `${b.results.benchmark} in ${b.folder}`,
    );
  }
  const [countsA, countsB] = [a, b].map(({ results, problems }) =>
    sampleCounts(problems, {
      n: results.samples_per_problem,
      incomplete: results.incomplete,
      least: Math.max(...passKeys(results).map((key) => Number(key.slice('pass@'.length)))),
    }),
  );
  const indicesB = new Map(b.problems.map(({ id }, i) => [id, i]));
  const onlyA = a.problems.filter(({ id }) => !indicesB.has(id));
  const idsA = new Set(a.problems.map(({ id }) => id));
  const onlyB = b.problems.filter(({ id }) => !idsA.has(id));
  if (onlyA.length > 0 || onlyB.length > 0) {
    const sides = [
      { folder: a.folder, only: onlyA },
      { folder: b.folder, only: onlyB },
    ].filter(({ only }) => only.length > 0);
    const lists = sides.map(({ folder, only }) => `only in ${folder}: ${listed(only.map(({ id }) => id))}`);
    throw new ConfigError(`compare: the problems differ; ${lists.join('; ')}`);
  }
  return a.problems.map((problem, i) => {
    const index = indicesB.get(problem.id)!;
    const other = b.problems[index];
    if (other.language !== problem.language) {
      throw new ConfigError(
        `compare: ${problem.id} is ${problem.language} in ${a.folder} and ${other.language} in ${b.folder}`,
      );
    }
    return { a: problem, b: other, countA: countsA[i], countB: countsB[index] };
  });
}

/**
 * The parts of two protocols that differ, by key path, such as `limits.wallSeconds` or `k[1]`, in the order
 * of their names. None exactly where the protocols' hashes are equal.
 */
export function protocolDifferences(
  a: Readonly<Record<string, unknown>>,
  b: Readonly<Record<string, unknown>>,
): ProtocolDifference[] {
  const [leavesA, leavesB] = [leaves(a, ''), leaves(b, '')];
  return [...new Set([...leavesA.keys(), ...leavesB.keys()])]
    .sort()
    .map((part) => ({ part, a: leavesA.get(part), b: leavesB.get(part) }))
    .filter(({ a, b }) => JSON.stringify(a) !== JSON.stringify(b));
}

/** The values in a JSON value that hold no others, by key path; an empty array or object is such a value. */
function leaves(value: unknown, path: string): Map<string, unknown> {
  if (typeof value !== 'object' || value === null) return new Map([[path, value]]);
  const entries = Object.entries(value);
  if (entries.length === 0) return new Map(path === '' ? [] : [[path, value]]);
  const step = (key: string) => {
    if (Array.isArray(value)) return `${path}[${key}]`;
    const name = /^[\w-]+$/.test(key) ? key : JSON.stringify(key);
    return path === '' ? name : `${path}.${name}`;
  };
  return new Map(entries.flatMap(([key, item]) => [...leaves(item, step(key))]));
}

/** `limits.wallSeconds: 10 against 3`. */
export function differenceText({ part, a, b }: ProtocolDifference): string {
  const shown = (value: unknown) => (value === undefined ? 'nothing' : JSON.stringify(value));
  return `${part}: ${shown(a)} against ${shown(b)}`;
}

/** The first five, and how many more. */
function listed(names: readonly string[]): string {
  const more = names.length - 5;
  return `${names.slice(0, 5).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function sideOf({ folder, results }: ResultFolder, counts: readonly ProblemCount[]): ComparedSide {
  const { samples_per_problem, protocol } = results;
  return {
    folder,
    'pass@1': mean(counts.map(({ n, c }) => c / n)),
    ci95: passInterval(counts),
    samples_per_problem,
    protocol,
  };
}

/** A system on a problem, with its first sample that passed, or that did not. */
function problemSide({ samples }: ResultProblem, { n, c }: ProblemCount, passed: boolean): ProblemSide {
  const sample = samples.find(({ verdict }) => (verdict === 'passed') === passed);
  const { verdict, detail } = sample ?? { verdict: 'missing', detail: 'no sample' };
  return { n, c, verdict, detail, answer: sample === undefined ? null : completionOf(sample) };
}

function completionOf({ completion, program, solution }: SampleRow): Completion | null {
  if (completion !== undefined) return { kind: 'completion', text: completion };
  const text = program ?? solution;
  return text === undefined ? null : { kind: 'program', text };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
