import { join } from 'node:path';
import { makeFolder, writeAtomic } from '@flex/base';
import {
  boxProcessors,
  hiding,
  type Job,
  type Judgement,
  type JudgeProgress,
  judgeAll,
  judgeVersion,
  type LanguageId,
  limitsOf,
  openJudgementCache,
  type Sandbox,
  toolchainVersions,
} from '@flex/judge';
import type { Benchmark, Problem } from './benchmark.ts';
import {
  encodeResults,
  encodeSample,
  type Incomplete,
  missingRow,
  protocolHash,
  type Results,
  resultFiles,
  type SampleRow,
  sampleRow,
} from './results.ts';
import type { Sample } from './samples.ts';
import { type ScoredRow, score } from './score.ts';
import { type Truncation, truncateCompletion } from './truncate.ts';

export interface EvaluationOptions {
  readonly benchmark: Benchmark;
  /** The benchmark's problems, in its order. */
  readonly problems: readonly Problem[];
  readonly samples: readonly Sample[];
  readonly sandbox: Sandbox;
  /** Where results and judgements go; null keeps them in memory. */
  readonly out: string | null;
  /** Samples a problem should have; null takes the most that any has. */
  readonly n: number | null;
  /** The k of pass@k. */
  readonly k: readonly number[];
  readonly incomplete: Incomplete;
  /** What is cut off the completions before they are judged. */
  readonly truncation: Truncation;
  /** How the completions were made, for the protocol; null where that is not known. */
  readonly decoding: Readonly<Record<string, unknown>> | null;
  /** Programs judged at once. */
  readonly jobs: number;
  /** Seconds of one program's whole check; null takes each language's own. */
  readonly timeout: number | null;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: JudgeProgress) => void;
  /** Takes a line for people where memory holds fewer programs at once than `jobs`. */
  readonly onNote?: (line: string) => void;
}

export interface Evaluation {
  readonly results: Results;
  /** One a sample, by the benchmark's order of problems, then the order in which the samples came. */
  readonly rows: readonly SampleRow[];
}

/** File of finished judgements in a result folder. */
const judgementsFile = 'judgements.jsonl';

/**
 * Judges samples of a benchmark's problems and scores them. With `out`, every judgement is kept there as it is
 * made, so that an evaluation that was interrupted goes on, and samples.jsonl and results.json are written,
 * whole, at the end. Throws ConfigError where a language's toolchain is missing, and what `judgeAll` and
 * `score` throw.
 */
export async function evaluate(options: EvaluationOptions): Promise<Evaluation> {
  const { benchmark, problems, samples, out, n, k, incomplete } = options;
  const languages = [...new Set(problems.map(({ language }) => language))];
  const toolchains = await toolchainVersions(languages);
  const scoreOf = (rowsOf: ReadonlyMap<string, readonly ScoredRow[]>) =>
    score(
      problems.map(({ id, language }) => ({ id, language, samples: rowsOf.get(id) ?? [] })),
      { n, k, incomplete },
    );
  // What cannot be scored is refused before anything is judged.
  scoreOf(byProblem(samples, () => unjudged));
  if (out !== null) makeFolder(out);
  const sandbox = hiding(options.sandbox, out === null ? [] : [out]);
  const cache = openJudgementCache(out === null ? null : join(out, judgementsFile));
  let judgements: Judgement[];
  try {
    const jobs = samples.map((sample) => jobOf(sample, options));
    judgements = await judgeAll(jobs, { ...options, sandbox, lanes: options.jobs, toolchains, cache });
  } finally {
    cache.close();
  }
  const rowsOf = byProblem(samples, ({ row, problem }, i) => sampleRow(row, problem, judgements[i]));
  const scored = scoreOf(rowsOf);
  const { samples_per_problem } = scored;
  const protocol_parts = { ...protocolParts(options, languages, toolchains), samples_per_problem };
  const protocol = protocolHash(protocol_parts);
  const results = { ...scored, benchmark: benchmark.name, protocol, protocol_parts };
  const rows = problems.flatMap((problem) => {
    const judged = rowsOf.get(problem.id) ?? [];
    const missing = Array.from({ length: samples_per_problem - judged.length }, () => missingRow(problem));
    return [...judged, ...missing];
  });
  if (out !== null) {
    writeAtomic(join(out, resultFiles.samples), rows.map(encodeSample));
    writeAtomic(join(out, resultFiles.results), encodeResults(results));
  }
  return { results, rows };
}

/** A value for each sample, by its problem's id, in the samples' order. */
function byProblem<T>(samples: readonly Sample[], value: (sample: Sample, i: number) => T): Map<string, T[]> {
  const values = new Map(samples.map(({ problem }): [string, T[]] => [problem.id, []]));
  for (const [i, sample] of samples.entries()) values.get(sample.problem.id)?.push(value(sample, i));
  return values;
}

const unjudged: ScoredRow = { verdict: 'failed', failure: null, assurance: null };

/** Everything but the model that can change a score. */
function protocolParts(
  { benchmark, truncation, incomplete, decoding, sandbox, timeout }: EvaluationOptions,
  languages: readonly LanguageId[],
  toolchains: Readonly<Partial<Record<LanguageId, string>>>,
): Record<string, unknown> {
  return {
    judge: judgeVersion,
    benchmark: benchmark.name,
    options: benchmark.options,
    truncation,
    incomplete,
    decoding,
    sandbox: sandbox.mode,
    accounting: sandbox.accounting,
    architecture: process.arch,
    processors: boxProcessors,
    limits: Object.fromEntries(languages.map((language) => [language, { ...limitsOf(language, timeout) }])),
    toolchains,
  };
}

function jobOf({ problem, completion }: Sample, { benchmark, truncation }: EvaluationOptions): Job {
  const { canonical } = problem;
  return {
    program: benchmark.program(problem, truncateCompletion(completion, problem, truncation)),
    canonical:
      canonical === null ? null : benchmark.program(problem, { kind: 'completion', text: canonical }),
  };
}
