import { resolve } from 'node:path';
import { ConfigError, expandHome, lastName, printable } from '@flex/base';
import {
  type Callback,
  describeMemory,
  loadConfig,
  type MemoryPlan,
  plainConfig,
  planRun,
  printConfig,
  type RunInfo,
  type RunSummary,
  type TrainConfig,
  train,
} from '@flex/train';
import { Command } from 'commander';
import { type CommonOptions, type Output, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { type DeviceOptions, openBackend } from '../device.ts';
import { duration } from '../duration.ts';
import { flexCommand } from '../flex-command.ts';
import { fromHere } from '../from-here.ts';
import { interruptible } from '../interruption.ts';
import { inNextFolder, nextFolder } from '../next-folder.ts';
import { positive } from '../option-values.ts';
import { newProgress, type Progress } from '../progress.ts';
import { provenanceLines } from '../provenance-text.ts';
import { quickstart } from '../quickstart.ts';
import { newTable } from '../table.ts';
import { chalk, columnsOf } from '../terminal.ts';
import { printPlan } from '../train-plan.ts';

interface TrainCommandOptions extends CommonOptions, DeviceOptions {
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  readonly until?: number;
  readonly printConfig?: boolean;
  readonly plan?: boolean;
}

/** A configuration and where it came from. */
interface Loaded {
  readonly config: TrainConfig;
  readonly isQuickstart: boolean;
  /** Where `out` was left out: the name that its folder begins with. */
  readonly next: string | null;
}

export function trainCommand(): Command {
  const command = new Command('train')
    .description('fine-tune with LoRA; without arguments, the bundled quickstart')
    .argument('[arguments...]', 'config.yaml, .toml, .json or recipe.ts, then key=value to change its keys')
    .option('--resume', 'continue the run in `out` from its newest checkpoint')
    .option('--overwrite', 'replace the run in `out`')
    .option('--until <n>', 'stop after update n as if asked to, everything saved; --resume goes on', positive)
    .option('--print-config', 'print the resolved configuration and stop')
    .option('--plan', 'print what the run would do, its data above all, and stop; nothing is written');
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(args: readonly string[], options: TrainCommandOptions, command: Command): Promise<void> {
  const output = outputOf(options);
  if (options.resume && options.overwrite) {
    throw new ConfigError('train: --resume keeps the run and --overwrite replaces it; give one of them');
  }
  const loaded = await load(args, options);
  const { config, next } = loaded;
  if (options.printConfig) {
    if (output.json) output.emit(plainConfig(config));
    else process.stdout.write(printConfig(config));
    return;
  }
  if (options.plan) {
    const backend = await openBackend(options, output.note);
    try {
      printPlan(await planRun(config, { ...options, backend }), output);
    } finally {
      await backend.close();
    }
    return;
  }
  const runIn = (out: string) => runConfig({ ...loaded, config: { ...config, out } }, options, command);
  await (next === null ? runIn(config.out) : inNextFolder(next, runIn));
}

async function runConfig(
  { config, isQuickstart }: Loaded,
  options: TrainCommandOptions,
  command: Command,
): Promise<void> {
  const output = outputOf(options);
  const backend = await openBackend(options, output.note);
  const progress = newProgress(options.quiet ?? false);
  await interruptible(command, progress, async (signal) => {
    let hasBegun = false;
    const begin: Callback = {
      onStart() {
        hasBegun = true;
      },
    };
    signal.addEventListener('abort', () => {
      if (hasBegun) progress.line('stopping after this update; once more to stop at once, without saving');
    });
    const { resume, overwrite, until } = options;
    const callbacks = [begin, reporter(progress, output)];
    const onPlan = (memory: MemoryPlan) => progress.line(describeMemory(memory));
    const onLoad = progress.load;
    try {
      const told = { onPlan, onLoad, callbacks };
      const summary = await train(config, { backend, resume, overwrite, until, signal, ...told });
      progress.stop();
      output.emit(summary);
      describeEnd(summary, output, { isQuickstart, config });
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
      progress.stop();
      output.warn('stopped while the model was loaded: nothing was written');
    }
  });
  await backend.close();
}

/** The configuration that the arguments name: a file or recipe first, then overrides. */
async function load(args: readonly string[], { resume }: TrainCommandOptions): Promise<Loaded> {
  const [first] = args;
  const file = first !== undefined && !first.includes('=') ? expandHome(first) : undefined;
  const overrides = args.slice(file === undefined ? 0 : 1);
  const stray = overrides.find((text) => !text.includes('='));
  if (stray !== undefined)
    throw new ConfigError(`train: "${stray}" is not key=value; the configuration file comes first`);
  const setsData = overrides.some((text) => /^data[=.]/.test(text));
  const setsModel = overrides.some((text) => /^model(\.path)?=/.test(text));
  const isQuickstart = file === undefined && !setsModel && !setsData;
  const base = isQuickstart ? quickstart : {};
  // A run needs a folder: without `out`, the next free one.
  const unnamed = resolve('runs/{next}');
  const config = await loadConfig({ file, overrides, defaults: { ...base, out: unnamed } });
  if (config.out !== unnamed) return { config, isQuickstart, next: null };
  if (resume) throw new ConfigError('train: --resume needs `out`, the folder of the run to continue');
  const { model, data } = config;
  const name = isQuickstart ? 'quickstart' : `${lastName(model)}-${lastName(data.source).split('.')[0]}`;
  const next = resolve('runs', name);
  return { config: { ...config, out: nextFolder(next) }, isQuickstart, next };
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
      for (const words of line.warnings ?? []) output.warn(`after update ${line.step}: ${words}`);
      output.emit(line);
      progress.step(line, info.steps);
    },
  };
}

function describeStart(info: RunInfo, line: (text: string) => void): void {
  line(
    `model ${fromHere(info.model)}, ${info.trainableParameters.toLocaleString('en')} trainable parameters`,
  );
  line(
    `data ${info.examples} examples, ${info.steps} updates${info.done > 0 ? `, ${info.done} done before` : ''}`,
  );
  for (const note of info.notes) line(note);
  line(`run folder ${fromHere(info.out)}`);
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
  if (summary.stopped !== undefined) output.print(`stopped: ${printable(summary.stopped)}`);
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
  for (const line of provenanceLines(summary.provenance)) output.print(chalk.dim(line));
  output.print(`adapter: ${printable(fromHere(adapter))} (Hugging Face PEFT loads it)`);
  const { best } = summary;
  if (best && status === 'done') {
    const before = lossBefore(summary, config.train.bestBy);
    const words = `no update has a lower held-out loss than the ${before.toFixed(4)} before the first`;
    if (before <= best.loss) output.print(chalk.yellow(words));
  }
  if (best && best.step !== steps) {
    const where =
      best.adapter === null ? 'of which no checkpoint was saved' : printable(fromHere(best.adapter));
    const of = config.train.bestBy ?? 'mean of all sets';
    const loss = `${best.loss.toFixed(4)} (${printable(of)}) after ${best.step} updates`;
    output.print(`lowest held-out loss of an update: ${loss}, ${where}`);
  }
  if (status === 'interrupted') {
    output.print(`To go on: the same command with out=${printable(fromHere(config.out))} --resume`);
    return;
  }
  if (!isQuickstart) return;
  output.print();
  output.print('What to try next:');
  const suggest = (args: string, what = '') => {
    const command = `  ${flexCommand(args)}`;
    const line = `${command.padEnd(54)} ${what}`.trimEnd();
    if (what === '' || line.length <= columnsOf(process.stdout)) return output.printWhole(line);
    output.printWhole(command);
    output.print(`    ${what}`);
  };
  if (config.regularizer.length > 0) {
    const [{ name }, ...others] = config.regularizer;
    const penalty = name === 'fourier' && others.length === 0 ? 'the Fourier penalty' : 'a penalty';
    suggest('train regularizer=none', `the same without ${penalty}`);
  }
  suggest('train lora.rank=16 train.seed=1', 'another adapter, another seed');
  suggest(`report ${fromHere(config.out)} --out report.html`, 'curves, spectra, provenance: one file');
  suggest(`watch ${fromHere(config.out)}`, 'a page that follows a run while it goes');
  suggest(`spectrum --adapter ${fromHere(adapter)}`);
  suggest(
    `generate --model ${fromHere(config.model)} --adapter ${fromHere(adapter)} --prompt 'def add(a, b):'`,
  );
  output.print('  README.md says how to train Code Llama 7B on your own data.');
}

/** The held-out loss by which the best update is told, before the first one. */
function lossBefore({ eval: sets }: RunSummary, by: string | null): number {
  const judged = by === null ? Object.values(sets) : [sets[by]];
  return judged.reduce((sum, { before }) => sum + before, 0) / judged.length;
}
