import { join } from 'node:path';
import { codeOf, printable } from '@flex/base';
import {
  analyse,
  baseModel,
  estimateStudy,
  type Launcher,
  loadStudy,
  logFileOf,
  measureClaims,
  planStudy,
  readStudy,
  requireFolder,
  runStudy,
  type Study,
  type StudyAnalysis,
  type StudyObserver,
  type StudyPlan,
  type StudyRecord,
} from '@flex/study';
import { Command } from 'commander';
import { claimTable } from '../claim-table.ts';
import { armTable } from '../compare/studies.ts';
import { type CommonOptions, type Output, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { chosenDevice, type DeviceOptions } from '../device.ts';
import { exitCode } from '../failure.ts';
import { flexCommand } from '../flex-command.ts';
import { fromHere } from '../from-here.ts';
import { interruptible } from '../interruption.ts';
import { type LocalOptions, localLauncher } from '../local-launcher.ts';
import { positive } from '../option-values.ts';
import { probeRun } from '../probe-run.ts';
import { type QueueOption, queueOption } from '../queue-option.ts';
import { requireBenchmark } from '../run-evaluation.ts';
import { printStudyPlan } from '../study-plan.ts';
import { newStudyProgress } from '../study-progress.ts';

export interface StudyCommandOptions extends CommonOptions, DeviceOptions {
  readonly jobs: number;
  readonly retry?: boolean;
  readonly plan?: boolean;
  readonly queue?: QueueOption;
}

export function studyCommand(): Command {
  const command = new Command('study')
    .description('arms, seeds and controls as runs that each happen once; the same command goes on')
    .argument('<file>', 'study.yaml, .toml or .json')
    .argument('[settings...]', 'key=value to change its keys');
  return withStudyOptions(command).action(run);
}

/** Adds to a command the options of how a study is done. */
export function withStudyOptions(command: Command): Command {
  command
    .option('--jobs <n>', 'runs at once, which share the cores of this machine', positive, 1)
    .addOption(queueOption())
    .option('--retry', 'try again what failed')
    .option(
      '--plan',
      'print runs, arms, controls, and about how long it takes, and stop; nothing is written',
    );
  return withCommonOptions(withDevice(command));
}

async function run(
  file: string,
  settings: readonly string[],
  options: StudyCommandOptions,
  command: Command,
): Promise<void> {
  await doStudy(await loadStudy(file, settings), options, command);
}

/** Does what is left of a study, and tells how it went; with --plan tells what that would be. */
export async function doStudy(study: Study, options: StudyCommandOptions, command: Command): Promise<void> {
  const output = outputOf(options);
  const plan = await planStudy(study);
  const local = await localOptions(options, output);
  const progress = newStudyProgress(options.quiet ?? false, output);
  await interruptible(command, progress, async (signal) => {
    if (options.plan) return tellPlan(plan, { local, output, signal });
    if (options.queue === undefined) await requireBenchmarks(study);
    signal.addEventListener('abort', () =>
      output.note('stopping: what is in work is saved; once more to stop at once, without saving'),
    );
    const code = codeOf(join(import.meta.dirname, '..', '..'));
    const doAll = (launcher: Launcher, observer: StudyObserver) =>
      runStudy(plan, { launcher, code, retry: options.retry, signal, observer });
    const record =
      options.queue === undefined
        ? await doAll(localLauncher(local), progress)
        : await (await import('../study-queue.ts')).throughQueue(options.queue, { code, progress }, doAll);
    progress.stop();
    const analysis = analyse(record);
    const claims = measureClaims(record.manifest.claims, analysis);
    output.emit({ ...summaryOf(record), arms: analysis.arms, ...(claims.length > 0 && { claims }) });
    tellEnd(record, analysis, output);
    const claimed = claimTable(claims);
    if (claimed !== null) output.print(claimed);
    const isDone = [record.base, ...record.runs].every(
      ({ state }) => state === 'done' || state === 'dropped',
    );
    if (!isDone && !signal.aborted) command.setOptionValue('exitCode', exitCode.failed);
  });
}

/** Throws for what would let each run's evaluation fail after its training. */
async function requireBenchmarks({ evaluations }: Study): Promise<void> {
  for (const evaluation of evaluations) await requireBenchmark({ ...evaluation, settings: [] });
}

async function tellPlan(
  plan: StudyPlan,
  { local, output, signal }: { local: LocalOptions; output: Output; signal: AbortSignal },
): Promise<void> {
  const { out } = plan.study;
  try {
    const estimate = await estimateStudy(plan, {
      record: requireFolder(plan) ? readStudy(out) : null,
      lanes: local.jobs,
      probe: (one) => {
        output.note(`measuring the first updates of ${one.arm}`);
        return probeRun(one, local, signal);
      },
    });
    printStudyPlan(plan, estimate, { output, local });
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
  }
}

/** How jobs share this machine. */
async function localOptions(
  { jobs, ...options }: StudyCommandOptions,
  output: Output,
): Promise<LocalOptions> {
  const { device, why } = await chosenDevice(options);
  if (why) output.note(`device: ${device}: ${why} (${flexCommand('doctor')} says more)`);
  if (jobs > 1 && device === 'webgpu') {
    output.warn(`--jobs ${jobs}: runs at once share one GPU, whose memory must hold all of them`);
  }
  return { jobs, device, threads: options.threads, memory: options.memory };
}

function summaryOf({ folder, runs }: StudyRecord): object {
  return {
    out: folder,
    runs: runs.map(({ name, arm, seed, state, summary }) => ({
      name,
      arm,
      seed,
      state,
      eval: summary?.eval ?? null,
    })),
  };
}

/** Arms by measures, what is not done and why, and what to ask next. */
function tellEnd({ folder, runs, base }: StudyRecord, analysis: StudyAnalysis, output: Output): void {
  if (analysis.arms.length > 0) output.print(armTable(analysis));
  const jobs = [{ name: baseModel, ...base }, ...runs];
  for (const { name, state, failure } of jobs) {
    const log = fromHere(join(folder, logFileOf(name)));
    if (state === 'failed' && failure)
      output.print(printable(`${name} failed: ${failure.error} (log: ${log})`));
  }
  const states = ['waiting', 'begun', 'interrupted', 'dropped'] as const;
  const counts = states.map((state) => [state, jobs.filter((job) => job.state === state).length] as const);
  const undone = counts.filter(([, count]) => count > 0).map(([state, count]) => `${count} ${state}`);
  if (undone.length > 0) output.print(`not done: ${undone.join(', ')}`);
  if (analysis.arms.length === 0) return;
  const here = printable(fromHere(folder));
  output.print('What follows from it, as text and as a page:');
  for (const command of [`compare ${here}`, `report ${here} --out report.html`]) {
    output.printWhole(`  ${flexCommand(command)}`);
  }
}
