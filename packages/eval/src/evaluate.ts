import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Provenance } from '@flex/base';
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
import type { EvaluationFolder } from './evaluation-folder.ts';
import {
  encodeResults,
  encodeSample,
  type Incomplete,
  missingRow,
  protocolHash,
  type Results,
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
  readonly folder: EvaluationFolder | null;
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

/** What of them the protocol follows from. */
export type ProtocolOptions = Pick<
  EvaluationOptions,
  'benchmark' | 'problems' | 'truncation' | 'incomplete' | 'decoding' | 'sandbox' | 'timeout'
>;

export interface ProtocolParts {
  /** The version of each language's toolchain. */
  readonly toolchains: Readonly<Partial<Record<LanguageId, string>>>;
  readonly [part: string]: unknown;
}

export interface Evaluation {
  readonly results: Results;
  /** One a sample, by the benchmark's order of problems, then the order in which the samples came. */
  readonly rows: readonly SampleRow[];
}

/** File of finished judgements in a result folder. */
const judgementsFile = 'judgements.jsonl';

/**
 * Judges samples of a benchmark's problems and scores them. With a folder, every judgement is kept there as
 * it is made, so that an evaluation that was interrupted goes on, and samples.jsonl and results.json are
 * written, whole, at the end. Throws ConfigError where a language's toolchain is missing, and what `judgeAll`
 * and `score` throw.
 */
export async function evaluate(options: EvaluationOptions): Promise<Evaluation> {
  const { benchmark, problems, samples, folder, n, k, incomplete } = options;
  const parts = await protocolParts(options);
  const scoreOf = (rowsOf: ReadonlyMap<string, readonly ScoredRow[]>) =>
    score(
      problems.map(({ id, language }) => ({ id, language, samples: rowsOf.get(id) ?? [] })),
      { n, k, incomplete },
    );
  // What cannot be scored is refused before anything is judged.
  scoreOf(byProblem(samples, () => unjudged));
  folder?.begin(null);
  const out = folder?.path ?? null;
  const sandbox = hiding(options.sandbox, out === null ? [] : [out]);
  const cache = openJudgementCache(out === null ? null : join(out, judgementsFile));
  let judgements: Judgement[];
  try {
    const jobs = samples.flatMap((sample) => jobsOf(sample, options));
    judgements = await judgeAll(jobs, {
      ...options,
      sandbox,
      lanes: options.jobs,
      toolchains: parts.toolchains,
      cache,
    });
  } finally {
    cache.close();
  }
  const rowsOf = byProblem(samples, ({ row, problem }, i) =>
    benchmark.base
      ? sampleRow(row, problem, judgements[2 * i], judgements[2 * i + 1])
      : sampleRow(row, problem, judgements[i]),
  );
  const scored = scoreOf(rowsOf);
  const { samples_per_problem } = scored;
  // The samples that `drop` asks of a problem decide which problems count.
  const dropped = incomplete === 'drop' ? { least_samples: Math.max(1, ...k) } : {};
  const protocol_parts = { ...parts, samples_per_problem, ...dropped };
  const protocol = protocolHash(protocol_parts);
  const rows = problems.flatMap((problem) => {
    const present = rowsOf.get(problem.id) ?? [];
    const absent = missingRow(problem, { hasBase: benchmark.base !== undefined });
    return [...present, ...Array(samples_per_problem - present.length).fill(absent)];
  });
  const lines = rows.map(encodeSample);
  const results: Results = {
    ...scored,
    benchmark: benchmark.name,
    protocol,
    protocol_parts,
    samples_sha256: createHash('sha256').update(lines.join('')).digest('hex'),
  };
  if (folder === null) return { results, rows };
  const provenance = folder.finish(lines, (made: Provenance) =>
    encodeResults({ ...results, provenance: made }),
  );
  return { results: { ...results, provenance }, rows };
}

/** A value for each sample, by its problem's id, in the samples' order. */
function byProblem<T>(samples: readonly Sample[], value: (sample: Sample, i: number) => T): Map<string, T[]> {
  const values = new Map(samples.map(({ problem }): [string, T[]] => [problem.id, []]));
  for (const [i, sample] of samples.entries()) values.get(sample.problem.id)?.push(value(sample, i));
  return values;
}

const unjudged: ScoredRow = { verdict: 'failed', failure: null, assurance: null };

/**
 * Everything but the model that can change a score, but for the samples a problem has and needs, which the
 * results add.
 * Throws ConfigError where a language's toolchain is missing.
 */
export async function protocolParts({
  benchmark,
  problems,
  truncation,
  incomplete,
  decoding,
  sandbox,
  timeout,
}: ProtocolOptions): Promise<ProtocolParts> {
  const languages = [...new Set(problems.map(({ language }) => language))];
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
    toolchains: await toolchainVersions(languages),
  };
}

/** What is judged of a sample: with the benchmark's tests, and where there are some with its base tests. */
function jobsOf({ problem, completion }: Sample, { benchmark, truncation }: EvaluationOptions): Job[] {
  const text = truncateCompletion(completion, problem, truncation);
  const { canonical } = problem;
  const solution = canonical === null ? null : ({ kind: 'completion', text: canonical } as const);
  const programs = [benchmark.program, benchmark.base].filter((program) => program !== undefined);
  return programs.map((program) => ({
    program: program.call(benchmark, problem, text),
    canonical: solution && program.call(benchmark, problem, solution),
  }));
}
