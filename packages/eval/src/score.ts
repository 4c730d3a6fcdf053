import { ConfigError } from '@flex/base';
import { assurances, failures, type LanguageId, languageIds, verdicts } from '@flex/judge';
import { meanPassAtK, type ProblemCount, passAtK } from './pass-at-k.ts';
import {
  atEachK,
  type BaseScore,
  type Incomplete,
  type Interval,
  type PassScore,
  passScoreOf,
  type SampleRow,
  type Score,
} from './results.ts';
import { meanInterval } from './statistics/mean-interval.ts';

/** What scoring needs of a sample's row. Rows with the verdict `missing` are as good as absent. */
export type ScoredRow = Pick<SampleRow, 'verdict' | 'failure' | 'assurance' | 'base'>;

/** A problem of a benchmark and the rows of its samples, possibly none. */
export interface JudgedProblem<Row extends ScoredRow = ScoredRow> {
  readonly id: string;
  readonly language: LanguageId;
  readonly samples: readonly Row[];
}

export interface CountOptions {
  /** Samples a problem should have; null takes the most that any problem has. */
  readonly n: number | null;
  /** Samples that are missing: `fail` counts them as failed; `drop` scores a problem by those it has. */
  readonly incomplete: Incomplete;
  /** Samples that `drop` needs of a problem that it scores: the largest k. */
  readonly least?: number;
}

export interface ScoreOptions extends CountOptions {
  /** The k of pass@k; 1 is always among them. */
  readonly k: readonly number[];
}

/**
 * pass@k, unbiased, as the mean over problems, with the interval of `passInterval`, for all problems and for
 * each language, and what it is made of. Throws ConfigError where `sampleCounts` does, where no problem is
 * left to score, and for a k that is not a positive whole number or is more than the samples of a scored
 * problem.
 */
export function score(problems: readonly JudgedProblem[], { k, ...options }: ScoreOptions): Score {
  const counts = sampleCounts(problems, { ...options, least: Math.max(1, ...k) });
  const scored = problems.flatMap(({ id, language }, i) => {
    const count = counts[i];
    return count === null ? [] : [{ id, language, ...count }];
  });
  if (scored.length === 0) throw new ConfigError('score: no problem is left: none has samples enough');
  const samples = problems.flatMap(present);
  const expected = expectedSamples(problems, options);
  const missing = problems.length * expected - samples.length;
  const inLanguage = (language: LanguageId) => scored.filter((problem) => problem.language === language);
  const { n, intervals, ...passes } = scoreAtEach(scored, k);
  return {
    ...passes,
    n,
    ci95: intervals['pass@1'],
    intervals,
    counts: tally(samples, 'verdict', { names: verdicts, missing }),
    samples_per_problem: expected,
    incomplete: options.incomplete,
    dropped: problems.length - scored.length,
    failures: tally(samples, 'failure', { names: failures, missing }),
    languages: Object.fromEntries(
      languageIds
        .filter((language) => inLanguage(language).length > 0)
        .map((language) => [language, scoreAtEach(inLanguage(language), k)]),
    ),
    assurance: tally(samples, 'assurance', { names: assurances, missing: 0 }),
    ...baseScore(problems, { k, ...options }),
  };
}

/** The score by the rows' `base`, where they have it. */
function baseScore(problems: readonly JudgedProblem[], options: ScoreOptions): { base?: BaseScore } {
  const isNone = problems.every(({ samples }) => samples.every(({ base }) => base === undefined));
  if (isNone) return {};
  const byBase = problems.map((problem) => ({
    ...problem,
    samples: problem.samples.map(({ base = 'missing' }): ScoredRow => {
      return { verdict: base, failure: null, assurance: null };
    }),
  }));
  const scored = score(byBase, options);
  return { base: { ...passScoreOf(scored), counts: scored.counts } };
}

/**
 * Each problem's number of samples and of passes, in the problems' order. With `fail` every problem has n
 * samples; with `drop` its own, and null where it has fewer than `least`. Throws ConfigError where there are
 * no problems, where n is null and there are no samples, and for a problem with more than n samples: which of
 * them to leave out would be a choice that changes the score.
 */
export function sampleCounts(
  problems: readonly JudgedProblem[],
  options: CountOptions,
): (ProblemCount | null)[] {
  const expected = expectedSamples(problems, options);
  return problems.map((problem) => {
    const rows = present(problem);
    const n = options.incomplete === 'fail' ? expected : rows.length;
    return n === 0 || (options.incomplete === 'drop' && n < (options.least ?? 1))
      ? null
      : { n, c: rows.filter(({ verdict }) => verdict === 'passed').length };
  });
}

/**
 * The 95 % interval of pass@k for problems with these counts, `meanInterval` of each problem's: Wilson's
 * where each has one sample. It is about the population that the problems are drawn from, the mean of 1 − (1
 * − p)^k over its problems, p the chance that a sample passes; not about further samples of these problems
 * alone. Throws as `passAtK` does.
 */
export function passInterval(counts: readonly ProblemCount[], k: number): Interval {
  return meanInterval(counts.map(({ n, c }) => passAtK(n, c, k)));
}

function expectedSamples(problems: readonly JudgedProblem[], { n }: CountOptions): number {
  if (problems.length === 0) throw new ConfigError('score: there are no problems');
  if (n !== null && !(Number.isSafeInteger(n) && n >= 1)) {
    throw new ConfigError(`score: samples a problem must be a whole number from 1, got ${n}`);
  }
  const most = problems.reduce((largest, problem) => Math.max(largest, present(problem).length), 0);
  if (n === null && most === 0) throw new ConfigError('score: there is not one sample for these problems');
  const expected = n ?? most;
  if (most <= expected) return expected;
  const { id } = problems.find((problem) => present(problem).length > expected)!;
  throw new ConfigError(
    `score: problem ${id} has more samples than the ${expected} a problem that were asked for; ` +
      `the most that a problem has is ${most}`,
  );
}

function scoreAtEach(
  scored: readonly (ProblemCount & { readonly id: string })[],
  k: readonly number[],
): PassScore {
  const wrong = k.find((draws) => !(Number.isSafeInteger(draws) && draws >= 1));
  if (wrong !== undefined) {
    throw new ConfigError(`score: the k of pass@k must be a whole number from 1, got ${wrong}`);
  }
  const largest = Math.max(1, ...k);
  const short = scored.find(({ n }) => n < largest);
  if (short !== undefined) {
    throw new ConfigError(
      `score: pass@${largest} needs ${largest} samples a problem; ${short.id} has ${short.n}`,
    );
  }
  const ordered = [...new Set([1, ...k])].sort((a, b) => a - b);
  return {
    ...atEachK(ordered, (draws) => meanPassAtK(scored, draws)),
    n: scored.length,
    intervals: atEachK(ordered, (draws) => passInterval(scored, draws)),
  };
}

function present({ samples }: JudgedProblem): readonly ScoredRow[] {
  return samples.filter(({ verdict }) => verdict !== 'missing');
}

/** How often each of `names` is a sample's value of `key`; there are `missing` samples beside these. */
function tally<K extends string>(
  samples: readonly ScoredRow[],
  key: 'verdict' | 'failure' | 'assurance',
  { names, missing }: { names: readonly K[]; missing: number },
): Record<K, number> {
  const counts = new Map<string | null, number>([['missing', missing]]);
  for (const sample of samples) counts.set(sample[key], (counts.get(sample[key]) ?? 0) + 1);
  return Object.fromEntries(names.map((name) => [name, counts.get(name) ?? 0])) as Record<K, number>;
}
