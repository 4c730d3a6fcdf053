import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  ConfigError,
  DataError,
  digestFile,
  parseJson,
  readLines,
  readProvenance,
  readWhole,
} from '@flex/base';
import { decode } from '@flex/datasets';
import { assurances, failures, type LanguageId, languageIds, verdicts } from '@flex/judge';
import { z } from 'zod';
import { leaves } from './leaves.ts';
import {
  incompletes,
  passDraws,
  protocolHash,
  type Results,
  resultFiles,
  type SampleRow,
  type Score,
} from './results.ts';
import { type JudgedProblem, score } from './score.ts';

/** A problem with the rows of all its samples, missing ones too. */
export type ResultProblem = JudgedProblem<SampleRow>;

/** A result folder as read. */
export interface ResultFolder {
  readonly folder: string;
  readonly results: Results;
  /** In the order in which samples.jsonl first names them. */
  readonly problems: readonly ResultProblem[];
}

const count = z.int().nonnegative();
const share = z.number().min(0).max(1);
const counts = <K extends string>(names: readonly K[]) => z.record(z.enum(names), count);

const sampleSchema = z
  .looseObject({
    task_id: z.union([z.string(), z.number()], { error: 'needs a string or a number' }),
    completion: z.string().optional(),
    program: z.string().optional(),
    solution: z.string().optional(),
    verdict: z.enum(verdicts),
    failure: z.enum(failures).nullable(),
    detail: z.string(),
    assurance: z.enum(assurances).nullable(),
    seconds: z.number().nonnegative(),
    language: z.enum(languageIds),
    base: z.enum(verdicts).optional(),
  })
  .refine(({ verdict, failure }) => (verdict === 'passed') === (failure === null), {
    path: ['failure'],
    message: 'must be null for a pass, and only then',
  })
  .refine(({ verdict, base = verdict }) => verdict !== 'passed' || base === 'passed', {
    path: ['base'],
    message: 'must be a pass where the verdict is one',
  })
  .refine(
    ({ verdict, completion, program, solution }) =>
      [completion, program, solution].filter((text) => text !== undefined).length ===
      (verdict === 'missing' ? 0 : 1),
    { path: ['completion'], message: 'needs a completion or a program, and neither where it is missing' },
  );

const interval = z.tuple([share, share]);
const passScore = z.looseObject({
  'pass@1': share,
  n: count.min(1),
  intervals: z.object({ 'pass@1': interval }).catchall(interval).optional(),
});

const resultsSchema = z.looseObject({
  ...passScore.shape,
  ci95: interval,
  counts: counts(verdicts),
  protocol: z.string(),
  benchmark: z.string(),
  samples_per_problem: count.min(1),
  incomplete: z.enum(incompletes),
  dropped: count,
  failures: counts(failures),
  languages: z.partialRecord(z.enum(languageIds), passScore),
  assurance: counts(assurances),
  base: z.looseObject({ ...passScore.shape, counts: counts(verdicts) }).optional(),
  protocol_parts: z.record(z.string(), z.unknown()),
  samples_sha256: z.string().optional(),
  provenance: z.unknown().optional(),
});

/**
 * Reads a result folder, and checks that its files agree: the samples give the results' pass@k, with their
 * intervals, and counts, the protocol's parts its hash, the provenance its digest, and samples.jsonl is the
 * one that was scored. Results from before provenance was recorded are read without, those from before every
 * k had its interval get those of their samples. Throws DataError, one line with the file and where in it,
 * for a folder or file that is missing, what is malformed, and what does not agree.
 */
export function readResults(folder: string): ResultFolder {
  refuseOther(folder);
  const resultsPath = join(folder, resultFiles.results);
  const samplesPath = join(folder, resultFiles.samples);
  const results = parse(readWhole(resultsPath), resultsSchema, resultsPath) as unknown as Results;
  const problems = readProblems(samplesPath);
  const { samples_per_problem: n, incomplete } = results;
  const again = rescored(problems, { n, incomplete, k: passDraws(results) }, samplesPath);
  // Results from before every k had its interval are read by their samples alone in these.
  const unrecorded = 'intervals' in results ? [] : ['ci95', 'intervals', 'languages'];
  for (const [key, right] of Object.entries({ base: undefined, ...again })) {
    if (unrecorded.includes(key)) continue;
    refuseUnlike(results[key as keyof Score], right, { key, resultsPath, samplesPath });
  }
  if (results.protocol !== protocolHash(results.protocol_parts)) {
    throw new DataError(
      `${resultsPath}: protocol is not the hash of protocol_parts; one of them was changed`,
    );
  }
  return {
    folder,
    results: { ...results, ...again, ...checkedOrigin(results, resultsPath, samplesPath) },
    problems,
  };
}

/** The provenance of results. Throws DataError where it or the file of samples is not as it was written. */
function checkedOrigin(
  { samples_sha256, provenance }: Results,
  resultsPath: string,
  samplesPath: string,
): Pick<Results, 'provenance'> {
  if (samples_sha256 !== undefined && digestFile(samplesPath).sha256 !== samples_sha256) {
    throw new DataError(
      `${samplesPath}: is not the file that was scored: its SHA-256 is not the samples_sha256 of ${resultsPath}`,
    );
  }
  if (provenance === undefined) return {};
  if (samples_sha256 === undefined) throw new DataError(`${resultsPath}: samples_sha256 is missing`);
  return { provenance: readProvenance(provenance, resultsPath) };
}

/** Throws DataError where a part of results.json is not what its samples give. */
function refuseUnlike(
  stated: unknown,
  right: unknown,
  { key, resultsPath, samplesPath }: Readonly<Record<'key' | 'resultsPath' | 'samplesPath', string>>,
): void {
  const [told, found] = [leaves(stated, key), leaves(right, key)];
  for (const path of new Set([...told.keys(), ...found.keys()])) {
    const [one, other] = [told.get(path), found.get(path)];
    const isClose =
      typeof one === 'number' && typeof other === 'number' ? Math.abs(one - other) <= 1e-9 : one === other;
    if (isClose) continue;
    const shown = JSON.stringify(one) ?? 'missing';
    throw new DataError(
      `${resultsPath}: ${path} is ${shown}, but the rows of ${samplesPath} give ${JSON.stringify(other)}`,
    );
  }
}

/** Throws DataError for what is no result folder, and says what it is instead. */
function refuseOther(folder: string): void {
  if (!existsSync(folder)) throw new DataError(`${folder}: there is no such folder`);
  if (!statSync(folder).isDirectory()) {
    throw new DataError(`${folder}: is a file; needs a folder that flex eval wrote with --out`);
  }
  const has = (file: string) => existsSync(join(folder, file));
  if (!has(resultFiles.results) && has('config.yaml') && has('metrics.jsonl')) {
    throw new DataError(
      `${folder}: holds a training run; needs a folder that flex eval wrote with --out, scores of its model`,
    );
  }
  for (const file of Object.values(resultFiles)) {
    if (!has(file)) {
      throw new DataError(`${folder}: has no ${file}; needs a folder that flex eval wrote with --out`);
    }
  }
}

function readProblems(path: string): ResultProblem[] {
  const problems = new Map<string, { id: string; language: LanguageId; samples: SampleRow[] }>();
  for (const { row, at } of rows(path)) {
    const id = String(row.task_id);
    const problem = problems.get(id) ?? { id, language: row.language, samples: [] };
    if (problem.language !== row.language) {
      throw new DataError(`${at}: language: ${row.language}, but ${id} came before in ${problem.language}`);
    }
    problem.samples.push(row);
    problems.set(id, problem);
  }
  return [...problems.values()];
}

/** The rows of samples.jsonl, each with its place. */
function* rows(path: string): Generator<{ row: SampleRow; at: string }> {
  for (const { bytes, where: at } of readLines(path)) {
    if (bytes.length > 0) yield { row: parse(bytes, sampleSchema, at) as SampleRow, at };
  }
}

/** JSON of this shape; throws DataError that begins with `at` for anything else. */
function parse<T>(bytes: Uint8Array, schema: z.ZodType<T>, at: string): T {
  const result = schema.safeParse(parseJson(decode(bytes, at), at));
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  throw new DataError(`${at}: ${path.length > 0 ? `${path.join('.')}: ` : ''}${message}`);
}

function rescored(
  problems: readonly ResultProblem[],
  options: Parameters<typeof score>[1],
  path: string,
): ReturnType<typeof score> {
  try {
    return score(problems, options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new DataError(`${path}: its rows do not fit the results: ${error.message}`);
  }
}
