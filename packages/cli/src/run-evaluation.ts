import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ConfigError, firstProblem, respell, sectionSchema } from '@flex/base';
import {
  type Benchmark,
  type BenchmarkPart,
  countNamed,
  evaluate,
  findBenchmark,
  type Incomplete,
  type Problem,
  type Results,
} from '@flex/eval';
import { hiding, openSandbox, toolchainVersions } from '@flex/judge';
import { applyOverride, parseOverride, respellSection } from '@flex/train';
import type { Command } from 'commander';
import type { Output } from './context.ts';
import { environment } from './environment.ts';
import { type EvalProgress, newEvalProgress } from './eval-progress.ts';
import { exitCode } from './failure.ts';
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
  readonly timeout?: number;
  readonly jobs: number;
}

export interface EvaluationContext {
  readonly output: Output;
  readonly progress: EvalProgress;
  readonly signal: AbortSignal;
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
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort(new Error('interrupted'));
  process.on('SIGINT', onSignal);
  const progress = newEvalProgress(quiet);
  try {
    await evaluateAll({ output, progress, signal: interrupt.signal });
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    progress.stop();
    output.warn('interrupted: what is done is kept, and the same command goes on');
    command.setOptionValue('exitCode', exitCode.interrupted);
  } finally {
    progress.stop();
    process.off('SIGINT', onSignal);
  }
}

/**
 * Generates or reads completions of a benchmark's problems, judges them, and writes the results. Throws
 * ConfigError and DataError, one line, for what is wrong with the options or the files.
 */
export async function runEvaluation(
  options: BenchmarkOptions,
  { output, progress, signal }: EvaluationContext,
): Promise<{ results: Results; out: string }> {
  const source = sampleSource(options);
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
  const { data, samples } = options;
  const hidden = [environment.data, data, samples].filter((path) => path !== undefined);
  const sandbox = hiding(await openSandbox(), hidden);
  await toolchainVersions(problems.map(({ language }) => language));
  signal.throwIfAborted();
  const settings = { k, incomplete, n, timeout };
  const out = options.out ?? join('runs', 'eval', folderName(benchmark, source, settings));
  const { results } = await evaluate({
    ...source,
    ...settings,
    ...{ benchmark, problems, sandbox, out, jobs, signal },
    samples: await source.samples({ problems, out, output, progress, signal }),
    onProgress: progress.judged,
    onNote: output.note,
  });
  progress.stop();
  return { results, out };
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
  return schema.parse(given);
}

/**
 * `humaneval-1a2b3c4d`: the same for the same benchmark, samples and settings, so that a second run goes on.
 */
function folderName(
  { name, options }: Benchmark,
  { identity, decoding, truncation }: SampleSource,
  settings: Readonly<Record<string, unknown>>,
): string {
  const parts = JSON.stringify([name, options, identity, decoding, truncation, settings]);
  const digest = createHash('sha256').update(parts).digest('hex');
  return `${name.replaceAll(/[^\w.-]+/g, '-')}-${digest.slice(0, 8)}`;
}
