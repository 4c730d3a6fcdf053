import { ConfigError } from '@flex/base';
import { assurances, failures, type LanguageId, languageIds, verdicts } from '@flex/judge';
import { meanPassAtK, type ProblemCount } from './pass-at-k.ts';
import type { Incomplete, SampleRow, Score } from './results.ts';
import { bootstrapMean } from './statistics/bootstrap.ts';
import { wilsonInterval } from './statistics/wilson.ts';

/** What scoring needs of a sample's row. Rows with the verdict `missing` are as good as absent. */
export type ScoredRow = Pick<SampleRow, 'verdict' | 'failure' | 'assurance'>;

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
 * pass@k, unbiased, as the mean over problems, and what it is made of. The interval is that of
 * `passInterval`. Throws ConfigError where `sampleCounts` does, where no problem is left to score, and for a
 * k that is not a positive whole number or is more than the samples of a scored problem.
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
  return {
    ...passAtEach(scored, k),
    n: scored.length,
    ci95: passInterval(scored),
    counts: tally(samples, 'verdict', { names: verdicts, missing }),
    samples_per_problem: expected,
    incomplete: options.incomplete,
    dropped: problems.length - scored.length,
    failures: tally(samples, 'failure', { names: failures, missing }),
    languages: Object.fromEntries(
      languageIds
        .filter((language) => inLanguage(language).length > 0)
        .map((language) => [
          language,
          { n: inLanguage(language).length, 'pass@1': meanPassAtK(inLanguage(language), 1) },
        ]),
    ),
    assurance: tally(samples, 'assurance', { names: assurances, missing: 0 }),
  };
}

/**
 * Each problem's number of samples and of passes, in the problems' order. With `fail` every problem has n
 * samples; with `drop` its own, and null where it has fewer than `least`. Throws ConfigError where there are no problems,
 * where n is null and there are no samples, and for a problem with more than n samples: which of them to
 * leave out would be a choice that changes the score.
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
 * The 95 % interval of pass@1 for problems with these counts: Wilson's for one sample a problem. For several,
 * the bootstrap over problems, since the samples of a problem are no independent trials; but Wilson's, with
 * problems as trials, where no problem differs from another, which a bootstrap takes for certainty.
 */
export function passInterval(counts: readonly ProblemCount[]): [low: number, high: number] {
  const shares = counts.map(({ n, c }) => c / n);
  const total = shares.reduce((sum, share) => sum + share, 0);
  const isUniform = shares.every((share) => share === shares[0]);
  const isSingle = counts.every(({ n }) => n === 1);
  return isSingle || isUniform ? wilsonInterval(total, counts.length) : bootstrapMean(shares);
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

function passAtEach(
  scored: readonly (ProblemCount & { readonly id: string })[],
  k: readonly number[],
): { 'pass@1': number; [pass: `pass@${number}`]: number } {
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
  const means = ordered.map((draws) => [`pass@${draws}`, meanPassAtK(scored, draws)]);
  return Object.fromEntries(means) as ReturnType<typeof passAtEach>;
}

function present({ samples }: JudgedProblem): readonly ScoredRow[] {
  return samples.filter(({ verdict }) => verdict !== 'missing');
}

/** How often each of `names` is a sample's value of `key`; there are `missing` samples beside these. */
function tally<K extends string>(
  samples: readonly ScoredRow[],
  key: keyof ScoredRow,
  { names, missing }: { names: readonly K[]; missing: number },
): Record<K, number> {
  const counts = new Map<string | null, number>([['missing', missing]]);
  for (const sample of samples) counts.set(sample[key], (counts.get(sample[key]) ?? 0) + 1);
  return Object.fromEntries(names.map((name) => [name, counts.get(name) ?? 0])) as Record<K, number>;
}
