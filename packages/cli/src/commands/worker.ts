import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@flex/base';
import { type WorkObserver, work } from '@flex/queue';
import { Command } from 'commander';
import { type CommonOptions, type Output, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { chosenDevice, type DeviceOptions } from '../device.ts';
import { interruptible } from '../interruption.ts';
import { type LiveLine, newLiveLine } from '../live-line.ts';
import { localLauncher } from '../local-launcher.ts';
import { placeOf, positive } from '../option-values.ts';
import { type QueueOption, queueOption } from '../queue-option.ts';
import { queueAddress } from '../study-queue.ts';

interface WorkerOptions extends CommonOptions, DeviceOptions {
  readonly queue?: QueueOption;
  readonly inputs?: string;
  readonly folder: string;
  readonly idle?: number;
  readonly lease: number;
}

export function workerCommand(): Command {
  const command = new Command('worker')
    .description('do jobs of studies that a queue has, one after the other')
    .addOption(queueOption())
    .option(
      '--inputs <folder>',
      'where models and data lie that are not where the study has them',
      placeOf('file'),
    )
    .option(
      '--folder <folder>',
      'where it works; each job is removed from it at its end',
      placeOf('output'),
      tmpdir(),
    )
    .option('--idle <seconds>', 'end after so long without a job; else it waits for more', positive)
    .option('--lease <seconds>', 'a worker that is not heard of for so long counts as gone', positive, 30);
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(options: WorkerOptions, command: Command): Promise<void> {
  const output = outputOf(options);
  const address = queueAddress(options.queue);
  const { device, why } = await chosenDevice(options);
  if (why) output.note(`device: ${device}: ${why}`);
  const ends: string[] = [];
  const live = newLiveLine(options.quiet ?? false);
  await interruptible(command, live, async (signal) => {
    signal.addEventListener('abort', () =>
      output.note('stopping: the job in work is saved and given back; once more to stop at once'),
    );
    await work(address, {
      launcher: localLauncher({ jobs: 1, device, threads: options.threads, memory: options.memory }),
      code: codeOf(join(import.meta.dirname, '..', '..')),
      inputs: options.inputs ?? null,
      folder: options.folder,
      lease: 1000 * options.lease,
      idle: options.idle === undefined ? null : 1000 * options.idle,
      signal,
      observer: observerOf(live, output, ends),
    });
    const done = ends.filter((status) => status === 'done').length;
    output.print(`${done} of ${ends.length} jobs were done`);
  });
}

/**
 * Tells what a worker does: a line when a job begins and ends, one live line meanwhile. Keeps how jobs ended.
 */
function observerOf(live: LiveLine, output: Output, ends: string[]): WorkObserver {
  const words = { done: 'is done', interrupted: 'was stopped by its study', 'given back': 'is given back' };
  return {
    onNote: output.warn,
    onBegin: (job) => live.line(`${job} begins`),
    onProgress(job, { stage, updates }) {
      if (updates) live.show(updates.done, updates.of, [job, `${stage} ${updates.done}/${updates.of}`]);
    },
    onEnd(job, outcome) {
      ends.push(outcome.status);
      output.emit({ job, ...outcome });
      if (outcome.status === 'failed') output.warn(`${job} failed: ${outcome.failure.error}`);
      else live.line(`${job} ${words[outcome.status]}`);
    },
  };
}
