import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Code } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { type Launcher, loadStudy, planStudy, type RunStudyOptions, readStudy, runStudy } from '@flex/study';
import { runManifest, tinyTraining } from '@flex/train/testing';
import { Redis } from 'ioredis';
import { expect, onTestFinished } from 'vitest';
import { openQueueLauncher } from '../queue-launcher.ts';
import { type RedisAddress, redisAddress } from '../redis-address.ts';
import { type WorkOptions, work } from '../worker.ts';
import { type RedisServer, startRedis } from './redis-server.ts';

export const code: Code = {
  commit: null,
  source: 'a'.repeat(64),
  versions: { node: '20.20.0', flex: '0.1.0' },
};
const lease = 30_000;
export const steps = 8;

export interface Stub extends Launcher {
  /** `NAME STEP` of each update that was made, by whomever. */
  readonly made: string[];
}

export interface StubOptions {
  /** Milliseconds of an update. */
  readonly pause?: number;
  /** Updates, of whatever runs, after which that in work waits to be stopped. */
  readonly holdsAt?: number;
  readonly fails?: readonly string[];
}

/** A launcher whose runs are some lines and a checkpoint after every second one. */
export function stubLauncher({ pause = 20, holdsAt, fails = [] }: StubOptions = {}): Stub {
  const made: string[] = [];
  const run: Launcher['run'] = async ({ run, name }, { signal, onProgress }) => {
    const { out } = run!.config;
    const at = (...path: string[]) => join(out, ...path);
    const end = (status: string) => {
      const whole = { status, out, adapter: at('adapter'), steps: done, eval: {} };
      writeFileSync(at('summary.json'), `${JSON.stringify(whole, null, 2)}\n`);
    };
    mkdirSync(at('checkpoints'), { recursive: true });
    const saved = existsSync(at('saved.json')) ? JSON.parse(readFileSync(at('saved.json'), 'utf8')) : 0;
    let done: number = saved;
    const lines = (count: number) => Array.from({ length: count }, (_, i) => `{"step":${i + 1}}\n`).join('');
    writeFileSync(at('metrics.jsonl'), lines(done));
    writeFileSync(at('manifest.json'), await runManifest(run!.config));
    rmSync(at('summary.json'), { force: true });
    for (; done < steps; ) {
      if (signal.aborted) {
        end('interrupted');
        return { status: 'interrupted' };
      }
      await setTimeout(pause);
      done++;
      made.push(`${name} ${done}`);
      appendFileSync(at('metrics.jsonl'), `{"step":${done}}\n`);
      if (done % 2 === 0) {
        writeFileSync(at('.saved.partial'), String(done));
        renameSync(at('.saved.partial'), at('saved.json'));
      }
      onProgress({ stage: 'train', updates: { done, of: steps } });
      if (fails.includes(name) && done === 4) {
        const failure = {
          error: 'no luck',
          at: new Date().toISOString(),
          command: ['flex'],
          exit_code: 1,
          signal: null,
        };
        return { status: 'failed', failure };
      }
      if (made.length === holdsAt && !signal.aborted) await once(signal, 'abort');
    }
    mkdirSync(at('adapter'), { recursive: true });
    writeFileSync(at('adapter', 'weights'), name);
    end('done');
    return { status: 'done' };
  };
  return { lanes: 1, made, run };
}

/** A study of three runs, and the Redis that it is done through. */
export async function setUp(server?: RedisServer) {
  const redis = server ?? (await startRedis());
  const folder = temporaryFolder();
  const file = join(folder, 'study.yaml');
  writeFileSync(file, 'base: {}\n');
  const settings = [...tinyTraining(folder), 'regularizer=none'].map((text) => `base.${text}`);
  const out = join(folder, 'out');
  const plan = await planStudy(await loadStudy(file, [...settings, `out=${out}`]));
  const notes: string[] = [];
  const address = redisAddress(redis.url);
  const open = (interval = 50) =>
    openQueueLauncher(address, { code, onNote: (line) => notes.push(line), interval });
  /** The study, until its end or that of the signal. */
  const study = async (options: Partial<RunStudyOptions> = {}) => {
    const launcher = await open();
    try {
      return await runStudy(plan, { launcher, code, signal: new AbortController().signal, ...options });
    } finally {
      await launcher.close();
    }
  };
  const worker = ({
    address: its = address,
    ...options
  }: Partial<WorkOptions> & { address?: RedisAddress } = {}) => {
    const stop = new AbortController();
    const launcher = options.launcher ?? stubLauncher();
    const folder = temporaryFolder();
    const ended = work(its, {
      ...{ launcher, code, inputs: null, folder, lease, interval: 100, idle: null, signal: stop.signal },
      observer: { onNote: (line) => notes.push(line) },
      ...options,
    });
    const stopped = () => {
      stop.abort();
      return ended;
    };
    // Whether it ends well, a test says.
    onTestFinished(() => stopped().catch(() => {}));
    return { ended, stop: stopped };
  };
  const client = () => {
    const one = new Redis(redis.url);
    onTestFinished(() => one.disconnect());
    return one;
  };
  /** Until all of its runs are in the queue. */
  const queued = async () => {
    const one = client();
    await until(async () => (await one.llen('bull:flex:wait')) === plan.runs.length);
  };
  return { redis, folder, out, plan, notes, open, study, worker, client, queued };
}

const lines = Array.from({ length: steps }, (_, i) => `{"step":${i + 1}}\n`).join('');

/** All runs are done, and each update of them is there once. */
export function expectWhole(out: string): void {
  for (const { folder, state, summary, name } of readStudy(out).runs) {
    expect(state).toBe('done');
    expect(readFileSync(join(folder, 'metrics.jsonl'), 'utf8')).toBe(lines);
    expect(readFileSync(join(folder, 'adapter/weights'), 'utf8')).toBe(name);
    expect(summary).toMatchObject({ out: folder, adapter: join(folder, 'adapter') });
  }
}

export const until = async (is: () => boolean | Promise<boolean>) => {
  while (!(await is())) await setTimeout(10);
};
