import { ConfigError, type Provenance } from '@flex/base';
import type { LanguageId, Verdict } from '@flex/judge';
import type { Completion } from './benchmark.ts';
import { leaves } from './leaves.ts';
import { meanPassAtK, type ProblemCount } from './pass-at-k.ts';
import { gainAtK, type PassDifference, passDifference } from './pass-difference.ts';
import type { ResultFolder, ResultProblem } from './read-results.ts';
import { atEachK, type Interval, type PassKey, type PassMap, passDraws, type SampleRow } from './results.ts';
import { passInterval, sampleCounts } from './score.ts';

/** One of the two systems, its pass@k on the problems compared. */
export interface ComparedSide extends PassMap<number> {
  readonly folder: string;
  readonly intervals: PassMap<Interval>;
  readonly samples_per_problem: number;
  readonly protocol: string;
  /** Null where the results are from before it was recorded. */
  readonly provenance: Provenance | null;
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

/** A problem on which the two's pass@k differ. */
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
  /** Problems that a side has too few samples of and its protocol drops: no part of the comparison. */
  readonly left_out: number;
  readonly a: ComparedSide;
  readonly b: ComparedSide;
  readonly differences: PassMap<PassDifference>;
  /** The k that matters most: the discordant problems are those of its difference. */
  readonly headline: PassKey;
  /** Empty unless forced. */
  readonly protocol_differences: readonly ProtocolDifference[];
  readonly discordant: readonly DiscordantProblem[];
}

export interface CompareOptions {
  /** Compare in spite of different protocols. */
  readonly force: boolean;
  /**
   * The k of pass@k, the headline first; 1 is always among them. Else all that both results have, and 1
   * first.
   */
  readonly k?: readonly number[];
}

/**
 * Compares two evaluations problem by problem. Throws ConfigError for different benchmarks or problems, for a
 * k that is more than the samples of a problem, and, unless `force`, for different protocols: the line names
 * the parts that differ.
 */
export function compare(a: ResultFolder, b: ResultFolder, { force, k }: CompareOptions): Comparison {
  const shared = passDraws(a.results).filter((draws) => passDraws(b.results).includes(draws));
  const [headline, ...others] = k ?? shared;
  const ks = [...new Set([1, headline, ...others])].sort((x, y) => x - y);
  const pairs = paired(a, b, Math.max(...ks));
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
  if (counted.length === 0)
    throw new ConfigError('compare: there is no problem that both have enough samples of');
  const countsA = counted.map(({ countA }) => countA);
  const countsB = counted.map(({ countB }) => countB);
  return {
    benchmark: a.results.benchmark,
    n: counted.length,
    left_out: pairs.length - counted.length,
    a: sideOf(a, countsA, ks),
    b: sideOf(b, countsB, ks),
    differences: atEachK(ks, (draws) => passDifference(countsA, countsB, draws)),
    headline: `pass@${headline}`,
    protocol_differences: differences,
    discordant: counted.flatMap(({ a, b, countA, countB }) => {
      const gain = gainAtK(countA, countB, headline);
      return gain === 0
        ? []
        : [
            {
              task_id: a.id,
              language: a.language,
              a: problemSide(a, countA, gain < 0),
              b: problemSide(b, countB, gain > 0),
            },
          ];
    }),
  };
}

interface Pair {
  readonly a: ResultProblem;
  readonly b: ResultProblem;
  readonly countA: ProblemCount | null;
  readonly countB: ProblemCount | null;
}

/**
 * The problems of both, in a's order, with their counts for pass@k up to `largest`. Throws ConfigError unless
 * they are the same ones and have samples enough.
 */
function paired(a: ResultFolder, b: ResultFolder, largest: number): Pair[] {
  if (a.results.benchmark !== b.results.benchmark) {
    throw new ConfigError(
      `compare: different benchmarks: ${a.results.benchmark} in ${a.folder}, ` +
        `${b.results.benchmark} in ${b.folder}`,
    );
  }
  const [countsA, countsB] = [a, b].map((side) => countsOf(side, largest));
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

/** The counts of a side's problems. Throws ConfigError where one that is scored has fewer than `largest`. */
function countsOf({ folder, results, problems }: ResultFolder, largest: number): (ProblemCount | null)[] {
  const { samples_per_problem: n, incomplete } = results;
  const counts = sampleCounts(problems, { n, incomplete, least: Math.max(largest, ...passDraws(results)) });
  const short = counts.findIndex((count) => count !== null && count.n < largest);
  if (short === -1) return counts;
  throw new ConfigError(
    `compare: pass@${largest} needs ${largest} samples a problem; ${problems[short].id} has ` +
      `${counts[short]!.n} in ${folder}`,
  );
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

function sideOf(
  { folder, results }: ResultFolder,
  counts: readonly ProblemCount[],
  ks: readonly number[],
): ComparedSide {
  const { samples_per_problem, protocol } = results;
  return {
    folder,
    ...atEachK(ks, (k) => meanPassAtK(counts, k)),
    intervals: atEachK(ks, (k) => passInterval(counts, k)),
    samples_per_problem,
    protocol,
    provenance: results.provenance ?? null,
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
