import { closeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { makeFolder, onDisk, openOwnFile, writeAll } from '@flex/base';
import {
  adapterOf,
  configFileOf,
  evaluationFolderOf,
  hasResults,
  type Job,
  type Launcher,
  logFileOf,
  type Outcome,
  type PlannedRun,
  type Progress,
} from '@flex/study';
import type { DeviceName } from './device-names.ts';
import { exitCode } from './failure.ts';
import { flexProcess, type ProcessEnd } from './flex-process.ts';
import { endedByRequest } from './interruption.ts';

export interface LocalOptions {
  /** Jobs at once. */
  readonly jobs: number;
  readonly device: DeviceName;
  /** Of each job; left out: the cores of this machine, shared out. */
  readonly threads?: number;
  /** The most bytes that tensors of all jobs may take of the device. */
  readonly memory?: number;
}

/** A command that is a part of a job. */
interface Step {
  /** `train`, or the name of an evaluation. */
  readonly stage: string;
  readonly args: readonly string[];
}

/** Milliseconds until a folder is asked for again that the process of a study that was killed still has. */
const patience = 1000;

/**
 * Runs jobs as commands of flex on this machine, so many at once, their standard errors kept in the study's
 * folder. A process that was left by a study that was killed ends soon, and is waited for.
 */
export function localLauncher(options: LocalOptions): Launcher {
  return {
    lanes: options.jobs,
    async run(job, { signal, onProgress }) {
      const path = join(job.folder, logFileOf(job.name));
      makeFolder(dirname(path));
      const log = onDisk(path, () => openOwnFile(path));
      try {
        for (const { stage, args } of stepsOf(job)) {
          const command = [...args, ...sharedArgs(args[0], options)];
          const onLine = (line: unknown) => {
            const updates = job.run && updatesOf(line, job.run);
            if (updates) onProgress({ stage, updates });
          };
          const run = () => {
            onProgress({ stage, updates: null });
            onDisk(path, () => writeAll(log, `${new Date().toISOString()} flex ${command.join(' ')}\n`));
            return flexProcess(command, { signal, log, onLine });
          };
          const onBusy = () => onProgress({ stage: 'waits', updates: null });
          const end = await whenFree(run, { signal, onBusy });
          if (end.code !== exitCode.done) return outcomeOf(command, end, signal);
          if (signal.aborted) return { status: 'interrupted' };
        }
        return { status: 'done' };
      } finally {
        closeSync(log);
      }
    },
  };
}

/** Runs a command, and again for as long as another process has its folder. */
async function whenFree(
  run: () => Promise<ProcessEnd>,
  { signal, onBusy }: { readonly signal: AbortSignal; readonly onBusy: () => void },
): Promise<ProcessEnd> {
  for (;;) {
    const end = await run();
    if (end.failure?.kind !== 'busy' || signal.aborted) return end;
    onBusy();
    await setTimeout(patience);
  }
}

/** The commands that are left to do of a job, in order. */
function stepsOf(job: Job): Step[] {
  const adapter = adapterOf(job);
  const until = job.until === undefined ? [] : ['--until', String(job.until)];
  const config = join(job.folder, configFileOf(job.name));
  const train: Step[] =
    job.run === null ? [] : [{ stage: 'train', args: ['train', config, '--resume', ...until] }];
  const evaluations = job.evaluations
    .filter(({ name }) => !hasResults(job.folder, name, job.name))
    .map(({ name, benchmark, merged, k, ...rest }) => {
      const out = join(job.folder, evaluationFolderOf(name, job.name));
      const args = ['eval', '--benchmark', benchmark, '--model', job.model, '--out', out];
      if (adapter !== null) args.push('--adapter', adapter);
      if (merged) args.push('--merged');
      if (k) args.push('--k', k.join(','));
      const flags = Object.entries(rest).flatMap(([key, value]) =>
        value === undefined ? [] : [flagOf(key), String(value)],
      );
      return { stage: name, args: [...args, ...flags] };
    });
  return [...train, ...evaluations];
}

const flagOf = (key: string) => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** The options that say how a command shares this machine with others, and how it talks. */
export function sharedArgs(command: string, { jobs, device, threads, memory }: LocalOptions): string[] {
  const share = Math.max(1, Math.floor(availableParallelism() / jobs));
  return [
    ...['--device', device],
    ...(device === 'cpu' ? ['--threads', String(threads ?? share)] : []),
    ...(memory === undefined ? [] : ['--memory', `${Math.floor(memory / jobs)}B`]),
    ...(command === 'eval' ? ['--jobs', String(share)] : []),
    ...['--quiet', '--verbose'],
  ];
}

/** How far a run is after the update that a line of its metrics tells of; null for other lines. */
export function updatesOf(line: unknown, { config: { train } }: PlannedRun): Progress['updates'] {
  const { step, epoch } = (line ?? {}) as { step?: unknown; epoch?: unknown };
  if (typeof step !== 'number' || typeof epoch !== 'number' || step === 0) return null;
  // Full updates of an epoch and a last smaller one: step / epoch lies above their number less one.
  const updatesAnEpoch = Math.ceil(step / epoch - 1e-9);
  return { done: step, of: train.maxSteps ?? updatesAnEpoch * train.epochs };
}

/** How a job ends with a command that was not done. */
function outcomeOf(
  args: readonly string[],
  { code, signal, failure }: ProcessEnd,
  { aborted }: AbortSignal,
): Outcome {
  const isAsked = aborted || endedByRequest(code);
  if (isAsked && (failure === null || failure.kind === 'busy')) return { status: 'interrupted' };
  const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
  const error = failure?.message ?? `flex ${args[0]} ${how}`;
  return {
    status: 'failed',
    failure: { error, at: new Date().toISOString(), command: ['flex', ...args], exit_code: code, signal },
  };
}
