import { mkdtempSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ConfigError, DataError, makeFolder, systemErrorOf, writeAtomic } from '@flex/base';
import { configFileOf, type Job, type Launcher, type Outcome, type Progress, runFolderOf } from '@flex/study';
import { loadConfig } from '@flex/train';
import { type Job as BullJob, DelayedError, ErrorCode, WaitingError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { type Equipment, newDigester, placed, refusalOf } from './admission.ts';
import { jobFiles, type Lease } from './job-files.ts';
import {
  failedBy,
  placesOf,
  type QueuedJob,
  queuedJobSchema,
  queueName,
  refusalsKeyOf,
  stopKeyOf,
} from './queued-job.ts';
import { receiver } from './receive-files.ts';
import type { RedisAddress } from './redis-address.ts';
import { connectRedis, noteUnlessLost } from './redis-connection.ts';

export interface WorkOptions extends Equipment {
  /** Does the jobs on this machine. */
  readonly launcher: Launcher;
  /** Where jobs are worked on: a folder of its own for each, which is removed at its end. */
  readonly folder: string;
  /** Milliseconds after which a worker that says nothing counts as gone. */
  readonly lease: number;
  /** Milliseconds between two reports of what a job has made. */
  readonly interval?: number;
  /** Milliseconds without a job after which there is no more work; null: there always may be. */
  readonly idle: number | null;
  /** Aborted: the job in work is saved, given back and left to another worker. */
  readonly signal: AbortSignal;
  readonly observer?: WorkObserver;
}

/** Is told what a worker does. */
export interface WorkObserver {
  onBegin?(job: string): void;
  onProgress?(job: string, progress: Progress): void;
  /** What is given back, another worker goes on with. */
  onEnd?(job: string, outcome: Outcome | { readonly status: 'given back' }): void;
  onNote?(line: string): void;
}

/** Times that workers may be killed with one job before it counts as one that kills them. */
const mostKills = 50;

/**
 * Takes jobs from a queue and does them, one at a time, until it is asked to end or there is no more work.
 * What a job has made goes to Redis every few seconds, so that another worker goes on from its last
 * checkpoint where this one is killed. Only who has the job's lease can write there: a worker that has lost
 * it, as its machine slept or Redis was away, stops, and what it made since is not counted.
 *
 * Jobs that this machine would not do as the study's would, it refuses (`refusalOf`), and leaves them to
 * others. Throws what `connectRedis` throws, and where its own folder cannot be written.
 */
export async function work(address: RedisAddress, options: WorkOptions): Promise<void> {
  const { lease, idle, observer = {} } = options;
  const note = (line: string) => observer.onNote?.(line);
  const client = await connectRedis(address, note);
  makeFolder(options.folder);
  const base = mkdtempSync(join(options.folder, 'flex-worker-'));
  const ending = new AbortController();
  const signal = AbortSignal.any([options.signal, ending.signal]);
  const attend = newAttendant(client, base, { ...options, signal });
  let trouble: unknown;
  let freeSince = performance.now();
  const worker: Worker<QueuedJob, Outcome> = new Worker(
    queueName,
    async (job, token) => {
      freeSince = Infinity;
      try {
        return await attend(job, { key: `${worker.toKey(job.id!)}:lock`, token: token! });
      } catch (error) {
        if (error instanceof DelayedError || error instanceof WaitingError) throw error;
        if (isLost(error)) {
          note(`${job.name}: nothing was heard of this worker for too long; the job is another's, or gone`);
          throw new WaitingError();
        }
        // What is wrong with this machine is for another one no reason to fail.
        trouble = error;
        ending.abort();
        await job.moveToWait(token);
        throw new WaitingError();
      } finally {
        freeSince = performance.now();
      }
    },
    {
      connection: client,
      autorun: false,
      lockDuration: lease,
      stalledInterval: lease,
      maxStalledCount: mostKills,
      drainDelay: 1,
      runRetryDelay: 1000,
    },
  );
  worker.on('error', noteUnlessLost(client, note));
  try {
    const running = worker.run();
    while (!signal.aborted && !(idle !== null && performance.now() - freeSince > idle)) await setTimeout(100);
    await worker.close();
    await running;
    if (trouble !== undefined) throw trouble;
  } finally {
    client.disconnect();
    rmSync(base, { recursive: true, force: true });
  }
}

/** Does one job that a worker has the lease of. */
type Attendant = (taken: BullJob<QueuedJob, Outcome>, lease: Lease) => Promise<Outcome>;

function newAttendant(client: Redis, base: string, options: WorkOptions): Attendant {
  const { launcher, signal, observer = {}, interval = 2000 } = options;
  const digest = newDigester();

  /** Leaves a job to others, for a time that this worker waits longer. */
  const refuse = async (taken: BullJob, { token }: Lease, why: string): Promise<never> => {
    const line = `worker ${process.pid} on ${hostname()} refuses ${taken.name}: ${why}`;
    await client.sadd(refusalsKeyOf(taken.id!), line);
    observer.onNote?.(line);
    await taken.moveToDelayed(Date.now() + interval, token);
    await setTimeout(2 * interval);
    throw new DelayedError();
  };

  return async (taken, lease) => {
    const parsed = queuedJobSchema.safeParse(taken.data);
    if (!parsed.success) return failedBy(`is no job of this flex: ${parsed.error.issues[0].message}`);
    const queued = parsed.data;
    const id = taken.id!;
    const why = await refusalOf(queued, options, digest);
    if (why !== null) return refuse(taken, lease, why);
    const folder = mkdtempSync(join(base, 'job-'));
    const its = jobFiles(client, id);
    const places = placesOf(queued);
    const stop = new AbortController();
    let isWanted = true;
    let isHeld = true;
    let progress: Progress | null = null;

    const take = async (): Promise<Job> => {
      if (!(await receiver(its, folder, { places })())) throw new LostError();
      return jobHere(queued, folder, options);
    };
    /** Sends what there is, and looks whether it is still wanted. */
    const report = async (): Promise<void> => {
      isHeld &&= await its.publish(folder, places, lease);
      isWanted &&= (await client.exists(stopKeyOf(id))) === 0;
      if (progress !== null && isHeld) await taken.updateProgress(progress);
      if (!isHeld || !isWanted) stop.abort();
    };
    /** Reports now and then until the work ends. */
    const reports = async (work: Promise<unknown>): Promise<void> => {
      let isOver = false;
      const over = work.finally(() => {
        isOver = true;
      });
      for (;;) {
        await Promise.race([over, setTimeout(interval)]);
        if (isOver || !isHeld) return;
        await report().catch((error) => {
          // A file went while it was to be read: a checkpoint that a newer one replaced.
          if (systemErrorOf(error)?.code !== 'ENOENT') throw error;
        });
      }
    };

    try {
      const job = await take().catch((error) => {
        // What is wrong with the job, is for all workers; the study is told.
        if ((error instanceof DataError || error instanceof ConfigError) && systemErrorOf(error) === null)
          return error.message;
        throw error;
      });
      if (typeof job === 'string') return failedBy(job);
      observer.onBegin?.(job.name);
      const done = launcher.run(job, {
        signal: AbortSignal.any([signal, stop.signal]),
        onProgress: (line) => {
          progress = line;
          observer.onProgress?.(job.name, line);
        },
      });
      const [outcome] = await Promise.all([done, reports(done)]).catch((error) => {
        stop.abort();
        return done.then(() => Promise.reject(error));
      });
      if (isHeld) await report();
      if (!isHeld) throw new LostError();
      if (outcome.status === 'interrupted' && isWanted) {
        await taken.moveToWait(lease.token);
        observer.onEnd?.(job.name, { status: 'given back' });
        throw new WaitingError();
      }
      observer.onEnd?.(job.name, outcome);
      return outcome;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

/** The job as the launcher of this machine does it, in a folder that is laid out as a study's. */
async function jobHere(queued: QueuedJob, folder: string, equipment: Equipment): Promise<Job> {
  const { name, run, model, evaluations, until } = placed(queued, equipment);
  const asked = { name, folder, model, evaluations, until };
  if (run === null) return { ...asked, run: null };
  const { arm, seed, key, config } = run;
  const file = join(folder, configFileOf(name));
  makeFolder(dirname(file));
  // JSON is YAML.
  writeAtomic(file, JSON.stringify({ ...config, out: join(folder, runFolderOf(name)) }));
  return { ...asked, run: { name, arm, seed, key, config: await loadConfig({ file }) } };
}

/** The lease of a job is another's, or the job is gone: what this worker has of it counts no more. */
class LostError extends Error {
  override readonly name = 'LostError';
}

/** Whether an error says so, of this file or of the queue's own. */
function isLost(error: unknown): boolean {
  const { JobNotExist, JobLockNotExist, JobNotInState, JobLockMismatch } = ErrorCode;
  const codes: unknown[] = [JobNotExist, JobLockNotExist, JobNotInState, JobLockMismatch];
  return (
    error instanceof LostError || (error instanceof Error && 'code' in error && codes.includes(error.code))
  );
}
