import { join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  BusyError,
  type Code,
  DataError,
  digestJson,
  type FolderLock,
  lockFolder,
  openInputFiles,
  parseJson,
} from '@flex/base';
import { type Job, type Launcher, type Outcome, readStudyManifest, runFolderOf } from '@flex/study';
import { printConfig } from '@flex/train';
import { type Job as BullJob, Queue } from 'bullmq';
import { z } from 'zod';
import { jobFiles } from './job-files.ts';
import {
  failedBy,
  foldersOf,
  idOf,
  outcomeSchema,
  placesOf,
  progressSchema,
  type QueuedJob,
  queuedJobOf,
  queueName,
  refusalsKeyOf,
  stopKeyOf,
} from './queued-job.ts';
import { receiver } from './receive-files.ts';
import type { RedisAddress } from './redis-address.ts';
import { connectRedis, noteUnlessLost } from './redis-connection.ts';

export interface QueueLauncherOptions {
  readonly code: Code;
  /** Is told what people should know: a connection that is lost, workers that refuse a job. */
  readonly onNote: (line: string) => void;
  /** Milliseconds between looks at the queue. */
  readonly interval?: number;
}

/** A launcher, and its connection. */
export interface QueueLauncher extends Launcher {
  close(): Promise<void>;
}

/**
 * Gives a study's jobs to the workers of a queue, all at once and in their order, and takes what they make
 * into the study's folder while they make it. What is in the queue outlives the study's process: the same
 * study takes up the jobs that are there. To a Redis that has forgotten a job it is given again, with what
 * the folder has of it.
 *
 * When its signal is aborted, jobs that nobody has begun are withdrawn, and workers are asked to end the
 * others with everything saved. Throws what `connectRedis` throws.
 */
export async function openQueueLauncher(
  address: RedisAddress,
  { code, onNote, interval = 1000 }: QueueLauncherOptions,
): Promise<QueueLauncher> {
  const client = await connectRedis(address, onNote);
  const queue = new Queue<QueuedJob, Outcome>(queueName, { connection: client });
  queue.on('error', noteUnlessLost(client, onNote));
  const files = openInputFiles();
  const told = new Set<string>();
  /** The jobs that are to be done, by their names. */
  const wanted = new Map<string, Promise<QueuedJob>>();
  /**
   * That the last job that was given has been asked for: one after the other, as they are done in that order.
   */
  let entered = Promise.resolve();

  const add = async (id: string, job: Job, queued: QueuedJob): Promise<void> => {
    await jobFiles(client, id).publish(job.folder, placesOf(job), null);
    await client.del(stopKeyOf(id));
    await queue.add(queued.name, queued, { jobId: id });
  };
  const forget = async (id: string): Promise<void> => {
    await client.unlink(stopKeyOf(id), refusalsKeyOf(id));
    await jobFiles(client, id).remove();
  };
  /** Removes a job and all that there is of it; false where a worker has it. */
  const withdraw = async (id: string): Promise<boolean> => {
    if ((await queue.remove(id)) === 0) return false;
    await forget(id);
    return true;
  };
  /**
   * Withdraws jobs of the study that are done: those whose removal a kill prevented, and those that a Redis
   * has again which went back to an older state.
   */
  const sweep = async (study: string): Promise<void> => {
    const known = await Promise.allSettled(wanted.values());
    const ids = new Set(known.flatMap((one) => (one.status === 'fulfilled' ? [idOf(one.value)] : [])));
    for (const { id, data } of await queue.getJobs()) {
      if (id === undefined || data.study !== study || ids.has(id)) continue;
      if (!(await withdraw(id))) await client.set(stopKeyOf(id), '1');
    }
  };
  let swept: Promise<void> | null = null;
  client.on('close', () => {
    swept = null;
  });
  const tellRefusals = async (id: string): Promise<void> => {
    for (const line of await client.smembers(refusalsKeyOf(id))) {
      if (!told.has(line)) onNote(line);
      told.add(line);
    }
  };

  return {
    lanes: Number.MAX_SAFE_INTEGER,
    async run(job, { signal, onProgress }) {
      const before = entered;
      let enter = () => {};
      entered = new Promise((resolve) => {
        enter = resolve;
      });
      const study = studyId(job.folder);
      const asked = queuedJobOf(job, { study, code, files });
      wanted.set(job.name, asked);
      const queued = await asked;
      const id = idOf(queued);
      const locks: FolderLock[] = [];
      const its = jobFiles(client, id);
      const receive = receiver(its, job.folder, { places: placesOf(job), rewrite: rewriting(job) });
      /** Takes what there is of the job; where it is damaged, the job fails and not its study. */
      const take = async (): Promise<{ isCurrent: boolean; damage: DataError | null }> => {
        try {
          return { isCurrent: await receive(), damage: null };
        } catch (error) {
          if (!(error instanceof DataError)) throw error;
          return { isCurrent: true, damage: error };
        }
      };
      /** One look at the job; gives how it ended. */
      const look = async (): Promise<Outcome | null> => {
        const found = await queue.getJob(id);
        if (!found) {
          if (signal.aborted) return { status: 'interrupted' };
          await add(id, job, queued);
          return null;
        }
        if (signal.aborted) await client.set(stopKeyOf(id), '1');
        const ended = endOf(found);
        const { isCurrent, damage } = await take();
        await tellRefusals(id);
        const progress = progressSchema.safeParse(found.progress);
        if (progress.success) onProgress(progress.data);
        if (damage) await client.set(stopKeyOf(id), '1');
        const outcome = damage ? failedBy(damage.message) : ended;
        if (!isCurrent || !(outcome || signal.aborted) || (await queue.remove(id)) === 0) return null;
        // What was made of it since; now nobody makes more.
        if (!outcome) await take();
        await forget(id);
        const asks = ({ evaluations, until }: QueuedJob) => digestJson([evaluations, until ?? null]);
        if (signal.aborted) return outcome ?? { status: 'interrupted' };
        // It was stopped by this study's process before, or is asked for more since: it goes on.
        const isLeft = outcome?.status === 'interrupted' || asks(found.data) !== asks(queued);
        return isLeft ? null : outcome;
      };
      const onBusy = () => {
        enter();
        onProgress({ stage: 'waits', updates: null });
      };
      try {
        for (const folder of foldersOf(job)) {
          const lock = await lockWhenFree(join(job.folder, folder), { signal, onBusy });
          if (lock === null) return { status: 'interrupted' };
          locks.push(lock);
        }
        await before;
        for (;;) {
          swept ??= sweep(study);
          await swept;
          const outcome = await look();
          if (outcome) return outcome;
          enter();
          await pause(interval, signal);
        }
      } finally {
        enter();
        wanted.delete(job.name);
        for (const lock of locks) lock.release();
      }
    },
    async close() {
      await queue.close();
      client.disconnect();
    },
  };
}

/** Milliseconds until a folder is asked for again that a process of a killed study still has. */
const patience = 1000;

/** The lock of a folder; null where another process still has it when the signal is aborted. */
async function lockWhenFree(
  folder: string,
  { signal, onBusy }: { readonly signal: AbortSignal; readonly onBusy: () => void },
): Promise<FolderLock | null> {
  for (;;) {
    try {
      return lockFolder(folder);
    } catch (error) {
      if (!(error instanceof BusyError)) throw error;
    }
    if (signal.aborted) return null;
    onBusy();
    await pause(patience, signal);
  }
}

/** That of a study, which it keeps when its folder moves: how it was begun. */
function studyId(folder: string): string {
  return digestJson(readStudyManifest(folder).history[0]);
}

/** How a job ended; null where it has not. */
function endOf({ finishedOn, returnvalue, failedReason }: BullJob<QueuedJob, Outcome>): Outcome | null {
  if (finishedOn === undefined) return null;
  const outcome = outcomeSchema.safeParse(returnvalue);
  if (outcome.success) return outcome.data;
  return failedBy(failedReason ?? 'its worker gave no outcome', new Date(finishedOn));
}

/** What of a summary names the run's folder. */
const placesSchema = z.looseObject({
  out: z.string(),
  adapter: z.string(),
  best: z.looseObject({ adapter: z.string().nullable() }).optional(),
});

const isPlaced = (summary: unknown): summary is z.output<typeof placesSchema> =>
  placesSchema.safeParse(summary).success;

/** The files of a run that name its folder: in the study's, they name that. */
function rewriting({ name, run }: Job): (path: string) => ((content: Buffer) => string) | undefined {
  if (run === null) return () => undefined;
  const { out } = run.config;
  const changes: Readonly<Record<string, (content: Buffer) => string>> = {
    'config.yaml': () => printConfig(run.config),
    'summary.json': (content) => {
      const summary = parseJson(content.toString(), `${name}: its summary.json`);
      // Not what the schema gives, which has the keys in an order of its own.
      if (!isPlaced(summary)) throw new DataError(`${name}: its summary.json is none of flex`);
      const moved = (path: string) => {
        const inside = relative(summary.out, path);
        if (/^\.\.(\/|$)|^\//.test(inside)) throw new DataError(`${name}: its summary.json names ${path}`);
        return join(out, inside);
      };
      const best = summary.best && {
        ...summary.best,
        adapter: summary.best.adapter && moved(summary.best.adapter),
      };
      const here = { ...summary, out, adapter: moved(summary.adapter), ...(best && { best }) };
      return `${JSON.stringify(here, null, 2)}\n`;
    },
  };
  return (path) => changes[relative(runFolderOf(name), path)];
}

/** Waits so long; once the signal is aborted, a quarter of a second at most. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return setTimeout(Math.min(milliseconds, 250));
  const awake = new AbortController();
  const wake = () => awake.abort();
  signal.addEventListener('abort', wake, { once: true });
  try {
    await setTimeout(milliseconds, undefined, { signal: awake.signal });
  } catch (error) {
    if (!awake.signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', wake);
  }
}
