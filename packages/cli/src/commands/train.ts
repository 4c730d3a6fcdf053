import { existsSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { ConfigError, printable } from '@flex/base';
import {
  type Callback,
  loadConfig,
  plainConfig,
  printConfig,
  type RunInfo,
  type RunSummary,
  type TrainConfig,
  train,
} from '@flex/train';
import chalk from 'chalk';
import { Command } from 'commander';
import { type CommonOptions, type Output, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { type DeviceOptions, openBackend } from '../device.ts';
import { exitCode } from '../failure.ts';
import { flexCommand } from '../flex-command.ts';
import { duration, newProgress, type Progress } from '../progress.ts';
import { quickstart } from '../quickstart.ts';
import { newTable } from '../table.ts';

interface TrainCommandOptions extends CommonOptions, DeviceOptions {
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  readonly printConfig?: boolean;
}

/** A configuration and where it came from. */
interface Loaded {
  readonly config: TrainConfig;
  readonly isQuickstart: boolean;
}

export function trainCommand(): Command {
  const command = new Command('train')
    .description('fine-tune with LoRA; without arguments, the bundled quickstart')
    .argument('[arguments...]', 'config.yaml, .toml, .json or recipe.ts, then key=value to change its keys')
    .option('--resume', 'continue the run in `out` from its newest checkpoint')
    .option('--overwrite', 'replace the run in `out`')
    .option('--print-config', 'print the resolved configuration and stop');
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(args: readonly string[], options: TrainCommandOptions, command: Command): Promise<void> {
  const output = outputOf(options);
  if (options.resume && options.overwrite) {
    throw new ConfigError('train: --resume keeps the run and --overwrite replaces it; give one of them');
  }
  const { config, isQuickstart } = await load(args, options);
  if (options.printConfig) {
    if (output.json) output.emit(plainConfig(config));
    else process.stdout.write(printConfig(config));
    return;
  }
  const backend = await openBackend(options, output.note);
  const progress = newProgress(options.quiet ?? false);
  const interrupt = new AbortController();
  const onSignal = () => {
    if (interrupt.signal.aborted) {
      progress.stop();
      process.exit(exitCode.interrupted);
    }
    progress.line('stopping after this update; once more to stop at once, without saving');
    interrupt.abort();
  };
  process.on('SIGINT', onSignal);
  try {
    const summary = await train(config, {
      backend,
      resume: options.resume,
      overwrite: options.overwrite,
      signal: interrupt.signal,
      callbacks: [reporter(progress, output)],
    });
    progress.stop();
    output.emit(summary);
    describeEnd(summary, output, { isQuickstart, config });
    if (summary.status === 'interrupted') command.setOptionValue('exitCode', exitCode.interrupted);
  } finally {
    progress.stop();
    process.off('SIGINT', onSignal);
  }
  await backend.close();
}

/** The configuration that the arguments name: a file or recipe first, then overrides. */
async function load(args: readonly string[], { resume }: TrainCommandOptions): Promise<Loaded> {
  const [first] = args;
  const file = first !== undefined && !first.includes('=') ? first : undefined;
  const overrides = args.slice(file === undefined ? 0 : 1);
  const stray = overrides.find((text) => !text.includes('='));
  if (stray !== undefined)
    throw new ConfigError(`train: "${stray}" is not key=value; the configuration file comes first`);
  const sets = (key: string) =>
    overrides.some((text) => text.startsWith(`${key}=`) || text.startsWith(`${key}.`));
  const isQuickstart = file === undefined && !sets('model') && !sets('data');
  const base = isQuickstart ? quickstart : {};
  // A run needs a folder: without `out`, the next free one.
  const unnamed = 'runs/{next}';
  const config = await loadConfig({ file, overrides, defaults: { ...base, out: unnamed } });
  if (config.out !== unnamed) return { config, isQuickstart };
  if (resume) throw new ConfigError('train: --resume needs `out`, the folder of the run to continue');
  const { model, data } = config;
  const name = isQuickstart ? 'quickstart' : `${basename(model)}-${basename(data.source).split('.')[0]}`;
  return { config: { ...config, out: nextFree(join('runs', name)) }, isQuickstart };
}

/** Tells how a run goes: its progress for people, a line of JSON an update. */
function reporter(progress: Progress, output: Output): Callback {
  return {
    onStart({ info }) {
      for (const line of info.warnings) output.warn(line);
      describeStart(info, progress.line);
    },
    onEval: ({ step }, losses) => progress.line(describeLosses(losses, step)),
    onLine({ info }, line) {
      progress.clear();
      for (const words of line.warnings ?? []) output.warn(`after update ${line.step}: ${words}`);
      progress.step(line, info.steps);
      output.emit(line);
    },
  };
}

/** A path as it is shortest to type: from the working directory, unless that leads out of it. */
function fromHere(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}

/** `runs/name`, or `runs/name-2` and so on where it is taken. */
function nextFree(folder: string): string {
  if (!existsSync(folder)) return folder;
  let n = 2;
  while (existsSync(`${folder}-${n}`)) n++;
  return `${folder}-${n}`;
}

function describeStart(info: RunInfo, line: (text: string) => void): void {
  line(
    `model ${fromHere(info.model)}, ${info.trainableParameters.toLocaleString('en')} trainable parameters`,
  );
  line(
    `data ${info.examples} examples, ${info.steps} updates${info.done > 0 ? `, ${info.done} done before` : ''}`,
  );
  for (const note of info.notes) line(note);
  line(`run folder ${info.out}`);
}

function describeLosses(losses: Readonly<Record<string, number>>, step: number): string {
  const shown = Object.entries(losses).map(([name, loss]) => `${name} ${loss.toFixed(4)}`);
  return `held-out loss after ${step} updates (nats a token): ${shown.join(', ')}`;
}

function describeEnd(
  summary: RunSummary,
  output: Output,
  { isQuickstart, config }: { isQuickstart: boolean; config: TrainConfig },
): void {
  const { steps, seconds, tokens_per_second, peak_memory_bytes, adapter, status } = summary;
  output.print();
  const word = status === 'done' ? chalk.green('done') : chalk.yellow('interrupted, everything saved');
  if (summary.stopped !== undefined) output.print(`stopped by a callback: ${printable(summary.stopped)}`);
  output.print(
    `${word}: ${steps} updates in ${duration(seconds)}, ${tokens_per_second.toFixed(0)} tokens/s, ` +
      `at most ${(peak_memory_bytes / 2 ** 20).toFixed(0)} MiB of tensors`,
  );
  const { curvature_share } = summary;
  if (curvature_share !== undefined) {
    output.print(`${(100 * curvature_share).toFixed(1)} % of the updates' time went into the curvature`);
  }
  if (Object.keys(summary.eval).length > 0) {
    const table = newTable({
      head: ['held-out loss, nats a token', 'before', 'after'],
    });
    for (const [name, { before, after }] of Object.entries(summary.eval)) {
      table.push([printable(name), before.toFixed(4), after.toFixed(4)]);
    }
    output.print(table.toString());
  }
  output.print(`adapter: ${printable(adapter)} (Hugging Face PEFT loads it)`);
  if (status === 'interrupted') {
    output.print(`To go on: the same command with out=${printable(config.out)} --resume`);
    return;
  }
  if (!isQuickstart) return;
  output.print();
  output.print('What to try next:');
  const suggest = (args: string, what = '') =>
    output.print(`  ${flexCommand(args).padEnd(48)} ${what}`.trimEnd());
  if (config.regularizer.length > 0) {
    const [{ name }, ...others] = config.regularizer;
    const penalty = name === 'fourier' && others.length === 0 ? 'the Fourier penalty' : 'a penalty';
    suggest('train regularizer=none', `the same without ${penalty}`);
  }
  suggest('train lora.rank=16 train.seed=1', 'another adapter, another seed');
  suggest(`spectrum --adapter ${adapter}`);
  suggest(`generate --model ${fromHere(config.model)} --adapter ${adapter} --prompt 'def add(a, b):'`);
  output.print('  README.md says how to train Code Llama 7B on your own data.');
}
