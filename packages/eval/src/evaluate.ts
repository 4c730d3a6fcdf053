import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Benchmark, Problem } from './benchmark.ts';
import { limitsOf } from './judge/judge.ts';
import { type Job, type JudgeProgress, judgeAll, judgeVersion } from './judge-all.ts';
import { openJudgementCache } from './judgement-cache.ts';
import type { Language } from './language.ts';
import { makeFolder } from './make-folder.ts';
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
import type { Sandbox } from './sandbox/box.ts';
import { type JudgedSample, score } from './score.ts';
import { toolchainVersions } from './toolchain.ts';
import { type Truncation, truncateAnswer } from './truncate.ts';
import type { Judgement } from './verdict.ts';

/** An answer to be judged, and its row as it goes into samples.jsonl. */
export interface Submission {
  readonly problem: Problem;
  readonly answer: Answer;
  readonly row: Readonly<Record<string, unknown>>;
}

export interface EvaluationOptions {
  readonly benchmark: Benchmark;
  /** The benchmark's problems, in its order. */
  readonly problems: readonly Problem[];
  readonly submissions: readonly Submission[];
  readonly sandbox: Sandbox;
  /** Where results and judgements go; null keeps them in memory. */
  readonly out: string | null;
  /** Samples a problem should have; null takes the most that any has. */
  readonly n: number | null;
  /** The k of pass@k. */
  readonly k: readonly number[];
  readonly incomplete: Incomplete;
  /** What is cut off the answers before they are judged. */
  readonly truncation: Truncation;
  /** How the answers were made, for the protocol; null where that is not known. */
  readonly decoding: Readonly<Record<string, unknown>> | null;
  /** Programs judged at once. */
  readonly jobs: number;
  /** Seconds of one program's whole check; null takes each language's own. */
  readonly timeout: number | null;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: JudgeProgress) => void;
}

export interface Evaluation {
  readonly results: Results;
  /** One a sample, by the benchmark's order of problems, then the order in which the samples came. */
  readonly rows: readonly SampleRow[];
}

/** File of finished judgements in a result folder. */
const judgementsFile = 'judgements.jsonl';

/**
 * Judges answers to a benchmark's problems and scores them. With `out`, every judgement is kept there as it is
 * made, so that an evaluation that was interrupted goes on, and samples.jsonl and results.json are written,
 * whole, at the end. Throws ConfigError where a language's toolchain is missing, and what `judgeAll` and
 * `score` throw.
 */
export async function evaluate(options: EvaluationOptions): Promise<Evaluation> {
  const { benchmark, problems, submissions, out, n, k, incomplete } = options;
  const languages = [...new Set(problems.map(({ language }) => language))];
  const toolchains = await toolchainVersions(languages);
  const asked = new Map(problems.map((problem): [string, Submission[]] => [problem.id, []]));
  for (const submission of submissions) asked.get(submission.problem.id)?.push(submission);
  const scoreOf = (judgementsOf: (problem: Problem) => readonly JudgedSample[]) =>
    score(
      problems.map((problem) => ({ ...problem, samples: judgementsOf(problem) })),
      { n, k, incomplete },
    );
  // What cannot be scored is refused before anything is judged.
  scoreOf(({ id }) => (asked.get(id) ?? []).map(() => unjudged));
  if (out !== null) makeFolder(out);
  const cache = await openJudgementCache(out === null ? null : join(out, judgementsFile));
  let judgements: Judgement[];
  try {
    const jobs = submissions.map((submission) => jobOf(submission, options));
    judgements = await judgeAll(jobs, { ...options, lanes: options.jobs, toolchains, cache });
  } finally {
    await cache.close();
  }
  const judged = new Map(problems.map((problem): [string, Judged[]] => [problem.id, []]));
  for (const [i, { problem, row }] of submissions.entries()) {
    judged.get(problem.id)?.push({ row, judgement: judgements[i] });
  }
  const samplesOf = ({ id }: Problem) => judged.get(id) ?? [];
  const scored = scoreOf((problem) => samplesOf(problem).map(({ judgement }) => judgement));
  const protocol_parts = {
    ...protocolParts(options, languages, toolchains),
    samples_per_problem: scored.samples_per_problem,
  };
  const protocol = protocolHash(protocol_parts);
  const results = { ...scored, benchmark: benchmark.name, protocol, protocol_parts };
  const rows = problems.flatMap((problem) => {
    const own = samplesOf(problem).map(({ row, judgement }) => sampleRow(row, problem, judgement));
    const missing = scored.samples_per_problem - own.length;
    return [...own, ...Array.from({ length: missing }, () => missingRow(problem))];
  });
  if (out !== null) {
    writeWhole(join(out, resultFiles.samples), rows.map(encodeSample));
    writeWhole(join(out, resultFiles.results), [encodeResults(results)]);
  }
  return { results, rows };
}

const unjudged: JudgedSample = { verdict: 'failed', failure: null, assurance: null };

interface Judged {
  readonly row: Submission['row'];
  readonly judgement: Judgement;
}

/** Everything but the model that can change a score. */
function protocolParts(
  { benchmark, truncation, incomplete, decoding, sandbox, timeout }: EvaluationOptions,
  languages: readonly Language[],
  toolchains: Readonly<Partial<Record<Language, string>>>,
): Record<string, unknown> {
  return {
    judge: judgeVersion,
    benchmark: benchmark.name,
    options: benchmark.options,
    truncation,
    incomplete,
    decoding,
    sandbox: sandbox.mode,
    architecture: process.arch,
    limits: Object.fromEntries(languages.map((language) => [language, { ...limitsOf(language, timeout) }])),
    toolchains,
  };
}

function jobOf({ problem, answer }: Submission, { benchmark, truncation }: EvaluationOptions): Job {
  const { canonical } = problem;
  return {
    program: benchmark.program(problem, truncateAnswer(answer, problem, truncation)),
    canonical:
      canonical === null ? null : benchmark.program(problem, { kind: 'completion', text: canonical }),
  };
}

/** Writes a file that is there whole or not at all. */
function writeWhole(path: string, parts: readonly string[]): void {
  const temporary = `${path}.tmp`;
  const file = openSync(temporary, 'w');
  for (const part of parts) writeSync(file, part);
  fsyncSync(file);
  closeSync(file);
  renameSync(temporary, path);
}
