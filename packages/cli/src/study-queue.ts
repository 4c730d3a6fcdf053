import { type Code, commandLine } from '@flex/base';
import { openQueueLauncher, type RedisAddress, redisAddress } from '@flex/queue';
import type { Job, Launcher, StudyObserver } from '@flex/study';
import type { QueueOption } from './queue-option.ts';

/**
 * The address that `--queue` means. A password among this process's arguments is hidden from those who list
 * processes. Throws ConfigError, which has no secret in it.
 */
export function queueAddress(given: QueueOption | undefined): RedisAddress {
  const address = redisAddress(given);
  if (address.options.password !== undefined) process.title = commandLine().join(' ');
  return address;
}

/** Does a study through the queue of `--queue`. */
export async function throughQueue<T>(
  given: QueueOption,
  { code, progress }: { readonly code: Code; readonly progress: Required<StudyObserver> },
  doAll: (launcher: Launcher, observer: StudyObserver) => Promise<T>,
): Promise<T> {
  const launcher = await openQueueLauncher(queueAddress(given), { code, onNote: progress.onNote });
  try {
    return await doAll(launcher, whenBegun(progress));
  } finally {
    await launcher.close();
  }
}

/** What is told of a study whose jobs are all in a queue: one begins when a worker tells of it. */
function whenBegun(observer: Required<StudyObserver>): StudyObserver {
  const begun = new Set<Job>();
  const begin = (job: Job) => {
    if (!begun.has(job)) observer.onBegin(job);
    begun.add(job);
  };
  return {
    ...observer,
    onBegin: () => {},
    onProgress(job, progress) {
      begin(job);
      observer.onProgress(job, progress);
    },
    onEnd(job, outcome) {
      begin(job);
      observer.onEnd(job, outcome);
    },
  };
}
