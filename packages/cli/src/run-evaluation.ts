import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  ConfigError,
  codeOf,
  firstProblem,
  type InputFiles,
  locate,
  mapPaths,
  openInputFiles,
  respell,
  sectionSchema,
  sourceOf,
} from '@flex/base';
import {
  type Benchmark,
  type BenchmarkPart,
  countNamed,
  evaluate,
  fencedHint,
  findBenchmark,
  type Incomplete,
  openEvaluationFolder,
  type Problem,
  protocolParts,
  type Results,
} from '@flex/eval';
import { hiding, openSandbox, toolchainVersions } from '@flex/judge';
import { applyOverride, parseOverride, respellSection } from '@flex/train';
import type { Command } from 'commander';
import type { Output } from './context.ts';
import { environment } from './environment.ts';
import { type EvalProgress, newEvalProgress } from './eval-progress.ts';
import { interruptible } from './interruption.ts';
import { type SampleOptions, type SampleSource, sampleSource } from './sample-source.ts';

/** What is evaluated, and how. */
export interface BenchmarkOptions extends SampleOptions {
  readonly benchmark: string;
  /** `key=value` texts: the benchmark's own options. */
  readonly settings: readonly string[];
  readonly data?: string;
  readonly split?: string;
  readonly prompt?: string;
  readonly k: readonly number[];
  readonly incomplete: Incomplete;
  readonly out?: string;
  /** Whether the evaluation in `out` is replaced. */
  readonly overwrite?: boolean;
  readonly timeout?: number;
  readonly jobs: number;
}

export interface EvaluationContext {
  readonly output: Output;
  readonly progress: EvalProgress;
  readonly signal: AbortSignal;
  /** The files that the command reads. */
  readonly files: InputFiles;
}

/**
 * Does what evaluates until it is done or interrupted: then what is done is kept, and the command's exit code
 * says so.
 */
export async function untilInterrupted(
  command: Command,
  { output, quiet = false }: { readonly output: Output; readonly quiet?: boolean },
  evaluateAll: (context: EvaluationContext) => Promise<void>,
): Promise<void> {
  const progress = newEvalProgress(quiet);
  await interruptible(command, progress, async (signal) => {
    try {
      await evaluateAll({ output, progress, signal, files: openInputFiles() });
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
      progress.stop();
      output.warn('interrupted: what is done is kept, and the same command goes on');
    }
  });
}

/**
 * Generates or reads completions of a benchmark's problems, judges them, and writes the results. Throws
 * ConfigError and DataError, one line, for what is wrong with the options or the files.
 */
export async function runEvaluation(
  options: BenchmarkOptions,
  { output, progress, signal, files }: EvaluationContext,
): Promise<{ results: Results; out: string; hint: string | null }> {
  const source = sampleSource(options, files);
  const code = codeOf(join(import.meta.dirname, '..'));
  const { split, k, incomplete, jobs, n = null, timeout = null } = options;
  if (options.model !== undefined && Math.max(...k) > (n ?? 1)) {
    throw new ConfigError(
      `--k: pass@${Math.max(...k)} needs as many samples a problem; give --n ${Math.max(...k)}`,
    );
  }
  const open = (chosen: string | undefined) => openBenchmark({ ...options, split: chosen }, output.note);
  let benchmark = await open(split);
  const { leftOut = [] } = benchmark;
  // A stray id is a mistake that reading the samples tells; a file of samples for all of the data is none.
  const mayGoBeyond = options.samples !== undefined && leftOut.length > 0;
  if (mayGoBeyond && 2 * (await countNamed(options.samples as string, leftOut)) > leftOut.length) {
    output.warn(
      `${benchmark.name}: the samples go beyond its test split, so all problems count (--split all)`,
    );
    benchmark = await open('all');
  }
  const problems: Problem[] = [];
  for await (const problem of benchmark.problems()) problems.push(problem);
  const { paths = [] } = benchmark;
  const hidden = [environment.data, ...paths, options.samples].filter((path) => path !== undefined);
  const sandbox = hiding(await openSandbox(), hidden);
  signal.throwIfAborted();
  const settings = { k, incomplete, n, timeout };
  const digest = optionsDigest(benchmark, source, settings);
  const out = options.out ?? join('runs', 'eval', folderName(benchmark.name, digest));
  const inputs = {
    ...source.inputs,
    data: paths.map((path) => ({
      use: 'benchmark' as const,
      ...sourceOf(path, files.digest(path)),
    })),
    modules: [],
    options: digest,
  };
  const asked = { ...source, ...settings, benchmark, problems, sandbox };
  const basis = { inputs, code, protocol: await protocolParts(asked) };
  const folder = openEvaluationFolder(out, basis, options);
  const onRead = (device: string | null) => {
    files.requireUnchanged();
    // Completions are kept in the folder as they are made.
    if (device !== null) folder.begin(device);
  };
  try {
    if (folder.note !== null) output.warn(folder.note);
    const made = await source.samples({ problems, out, output, progress, signal, onRead });
    const { results, rows } = await evaluate({
      ...{ ...asked, folder, jobs, signal, samples: made },
      onProgress: progress.judged,
      onNote: output.note,
    });
    progress.stop();
    return { results, out, hint: fencedHint(rows, source.truncation) };
  } finally {
    folder.release();
  }
}

/**
 * Throws what `runEvaluation` would for the benchmark, its data, the sandbox and the toolchains, so that it is told
 * before other work is done.
 */
export async function requireBenchmark(options: BenchmarkChoice): Promise<void> {
  const benchmark = await openBenchmark(options, () => undefined);
  const languages: Problem['language'][] = [];
  for await (const { language } of benchmark.problems()) languages.push(language);
  await openSandbox();
  await toolchainVersions(languages);
}

type BenchmarkChoice = Pick<BenchmarkOptions, 'benchmark' | 'settings' | 'data' | 'split' | 'prompt'>;

async function openBenchmark(options: BenchmarkChoice, warn: (line: string) => void) {
  const part = await findBenchmark(options.benchmark);
  return part.make(benchmarkOptions(part, options), { dataFolder: environment.data, warn });
}

/** The options of a benchmark, as its schema reads them: those of the command's own, and key=value. */
function benchmarkOptions(
  part: BenchmarkPart,
  { benchmark, data, split, prompt, settings }: BenchmarkChoice,
): Record<string, unknown> {
  const named = Object.entries({ data, split, prompt }).filter(([, value]) => value !== undefined);
  const written = settings.map(parseOverride).reduce(applyOverride, Object.fromEntries(named));
  const [schema, given] = [sectionSchema(part), respellSection(written)];
  const problem = firstProblem(schema, given, ([key = '', ...rest]) => [respell(String(key)), ...rest]);
  if (problem) throw new ConfigError(`--benchmark ${benchmark}: ${problem.message}`);
  return schema.parse(mapPaths(schema, given, (text, kind) => locate(text, kind)));
}

/** `humaneval-1a2b3c4d`: the same for the same benchmark, samples and settings, so that a second run goes on. */
function folderName(benchmark: string, asked: string): string {
  return `${benchmark.replaceAll(/[^\w.+-]+/g, '-')}-${asked.slice(0, 8)}`;
}

/** SHA-256 of what was asked for. */
function optionsDigest(
  { name, options }: Benchmark,
  { identity, decoding, truncation }: SampleSource,
  settings: Readonly<Record<string, unknown>>,
): string {
  const parts = JSON.stringify([name, options, identity, decoding, truncation, settings]);
  return createHash('sha256').update(parts).digest('hex');
}
