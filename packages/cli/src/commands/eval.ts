import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ConfigError, firstProblem, respell, sectionSchema } from '@flex/base';
import {
  type Benchmark,
  type BenchmarkPart,
  countNamed,
  evaluate,
  findBenchmark,
  type Incomplete,
  incompletes,
  type Problem,
  passKeys,
  type Results,
  truncations,
} from '@flex/eval';
import { hiding, openSandbox, toolchainVersions } from '@flex/judge';
import { applyOverride, parseOverride, respellSection } from '@flex/train';
import { Command, InvalidArgumentError, Option } from 'commander';
import {
  bold,
  type CommonOptions,
  dim,
  type Output,
  outputOf,
  withCommonOptions,
  withDevice,
} from '../context.ts';
import { environment } from '../environment.ts';
import { type EvalProgress, newEvalProgress } from '../eval-progress.ts';
import { exitCode } from '../failure.ts';
import { dtypeHelp } from '../open-model.ts';
import { number, positive, whole } from '../option-values.ts';
import { type SampleOptions, type SampleSource, sampleSource } from '../sample-source.ts';
import { newTable } from '../table.ts';

interface EvalCommandOptions extends CommonOptions, SampleOptions {
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

export function evalCommand(): Command {
  const command = new Command('eval')
    .description(
      'generate completions for a benchmark, or take a file of them; judge them in a sandbox; report pass@k',
    )
    .argument('[options...]', "key=value: options of a benchmark's own")
    .requiredOption(
      '--benchmark <name>',
      'humaneval, mbpp, multipl-e:LANG, mbxp:java, apps, FILE.jsonl, or a module such as ./mine.ts',
    )
    .option(
      '--data <path>',
      "the benchmark's own file or folder; else it is looked up in FLEX_DATA, or ./data",
    )
    .option('--split <split>', 'train, validation, test, prompt, all, or task ids such as 11-510')
    .option('--prompt <format>', 'raw or stripped (HumanEval); docstring, all-tests or few-shot (MBPP)')
    .option(
      '--samples <file>',
      'completions to judge: JSON Lines {"task_id", "completion"}, and other harnesses\' files or folders',
    )
    .option('--model <dir>', 'a Hugging Face Llama directory that generates the completions')
    .option('--adapter <dir>', 'a PEFT adapter on top of it')
    .option('--merged', 'with the adapter folded into the weights, rounded to their type')
    .option('--n <n>', 'samples a problem; more than one needs --temperature with a model', positive)
    .option('--k <list>', 'the k of pass@k, such as 1,10', kList, [1])
    .option('--temperature <t>', '0: greedy; above: sampled', number)
    .option('--top-p <p>', 'sample among the likeliest tokens that reach p', number)
    .option('--top-k <k>', 'sample among the k likeliest tokens', positive)
    .option('--num-beams <n>', 'above 1: beam search', positive)
    .option('--max-new-tokens <n>', 'tokens of a completion at most', positive)
    .option('--seed <n>', 'of the sampling', whole)
    .option('--batch-size <n>', 'prompts decoded at once; else 8. Each takes memory for its tokens', positive)
    .option('--dtype <name>', dtypeHelp)
    .addOption(
      new Option(
        '--truncate <preset>',
        'what is cut off a completion; stop-list with a model, else none',
      ).choices(truncations),
    )
    .addOption(
      new Option(
        '--incomplete <policy>',
        'problems with fewer samples than others (fail), or than the largest k (drop)',
      )
        .choices(incompletes)
        .default('fail'),
    )
    .option('--out <dir>', 'the folder of results; the same command goes on from what is there')
    .option(
      '--timeout <seconds>',
      "seconds of one program's check, and of its compilation in Java; else 10, and 15 and 10 for Java",
      seconds,
    )
    .option('--jobs <n>', 'programs judged at once', positive, availableParallelism());
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(
  settings: readonly string[],
  options: Omit<EvalCommandOptions, 'settings'>,
  command: Command,
): Promise<void> {
  const output = outputOf(options);
  const source = sampleSource(options);
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort(new Error('interrupted'));
  process.on('SIGINT', onSignal);
  const progress = newEvalProgress(options.quiet ?? false);
  try {
    await evaluateAll({ ...options, settings }, { source, output, progress, signal: interrupt.signal });
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

interface EvalContext {
  readonly source: SampleSource;
  readonly output: Output;
  readonly progress: EvalProgress;
  readonly signal: AbortSignal;
}

async function evaluateAll(
  options: EvalCommandOptions,
  { source, output, progress, signal }: EvalContext,
): Promise<void> {
  const { split, k, incomplete, jobs, n = null, timeout = null } = options;
  if (options.model !== undefined && Math.max(...k) > (n ?? 1)) {
    throw new ConfigError(
      `--k: pass@${Math.max(...k)} needs as many samples a problem; give --n ${Math.max(...k)}`,
    );
  }
  const part = await findBenchmark(options.benchmark);
  const open = async (chosen: string | undefined) =>
    part.make(benchmarkOptions(part, { ...options, split: chosen }), {
      dataFolder: environment.data,
      warn: output.note,
    });
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
  output.emit({ ...results, out });
  describe(results, output);
  if (results.counts.missing > 0 && incomplete === 'fail') {
    output.note(`missing samples count as failed: ${results.counts.missing}; see --incomplete`);
  }
  output.print(dim(`results: ${out}`));
}

/** The options of a benchmark, as its schema reads them: those of the command's own, and key=value. */
function benchmarkOptions(
  part: BenchmarkPart,
  { benchmark, data, split, prompt, settings }: EvalCommandOptions,
): Record<string, unknown> {
  const named = Object.entries({ data, split, prompt }).filter(([, value]) => value !== undefined);
  const written = settings.map(parseOverride).reduce(applyOverride, Object.fromEntries(named));
  const [schema, given] = [sectionSchema(part), respellSection(written)];
  const problem = firstProblem(schema, given, ([key = '', ...rest]) => [respell(String(key)), ...rest]);
  if (problem) throw new ConfigError(`--benchmark ${benchmark}: ${problem.message}`);
  return schema.parse(given);
}

/** `humaneval-1a2b3c4d`: the same for the same benchmark, samples and settings, so that a second run goes on. */
function folderName(
  { name, options }: Benchmark,
  { identity, decoding, truncation }: SampleSource,
  settings: Readonly<Record<string, unknown>>,
): string {
  const parts = JSON.stringify([name, options, identity, decoding, truncation, settings]);
  const digest = createHash('sha256').update(parts).digest('hex');
  return `${name.replaceAll(/[^\w.-]+/g, '-')}-${digest.slice(0, 8)}`;
}

function describe(results: Results, output: Output): void {
  const table = newTable({ colAligns: ['left', 'right'] });
  const [low, high] = results.ci95.map(percent);
  for (const key of passKeys(results)) {
    const interval = key === 'pass@1' ? `  (95 %: ${low} to ${high})` : '';
    table.push([bold(key), `${percent(results[key])}${interval}`]);
  }
  const dropped = results.dropped > 0 ? `, ${results.dropped} dropped for want of samples` : '';
  table.push(['problems', `${results.n}${dropped}`], ['samples a problem', results.samples_per_problem]);
  const tallies = [
    ...Object.entries(results.counts).filter(([, count]) => count > 0),
    ...Object.entries(results.assurance).filter(([name, count]) => name !== 'isolated' && count > 0),
  ];
  for (const [name, count] of tallies) table.push([name.replaceAll('_', ' '), count]);
  output.print(table.toString());
  const failures = Object.entries(results.failures).filter(([, count]) => count > 0);
  if (failures.length > 0) {
    output.print(`why not: ${failures.map(([name, count]) => `${name} ${count}`).join(', ')}`);
  }
  output.print(`protocol: ${results.protocol}`);
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

function kList(text: string): number[] {
  if (!/^[1-9]\d{0,5}(,[1-9]\d{0,5})*$/.test(text)) {
    throw new InvalidArgumentError('It must be whole numbers from 1 with commas, such as 1,10.');
  }
  return text.split(',').map(Number);
}

function seconds(text: string): number {
  const value = number(text);
  if (value <= 0 || value > 86_400) {
    throw new InvalidArgumentError('It must be a number above 0, at most 86400.');
  }
  return value;
}
