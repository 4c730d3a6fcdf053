import { createHash } from 'node:crypto';
import { canonicalJson, oneLine } from '@flex/base';
import { HarnessError } from './errors.ts';
import { inProcess, type Judge, limitsOf, openJudge } from './judge.ts';
import type { JudgementCache } from './judgement-cache.ts';
import type { LanguageId } from './languages/index.ts';
import type { Program } from './program.ts';
import type { Box, Sandbox } from './sandbox/box.ts';
import { availableMemory, lanesWithin } from './sandbox/memory-budget.ts';
import type { Judgement } from './verdict.ts';

/** Goes up with every change of judging that can change a verdict: earlier judgements are not taken then. */
export const judgeVersion = 4;

/** A program to judge, and the problem's canonical solution as a program, null where it has none. */
export interface Job {
  readonly program: Program;
  readonly canonical: Program | null;
}

export interface JudgeAllOptions {
  readonly sandbox: Sandbox;
  /** Programs judged at once. */
  readonly lanes: number;
  /** Seconds of one program's whole check; null takes each language's own. */
  readonly timeout: number | null;
  /** Versions of the languages' toolchains, part of what a judgement depends on. */
  readonly toolchains: Readonly<Partial<Record<LanguageId, string>>>;
  readonly cache: JudgementCache;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: JudgeProgress) => void;
  /**
   * Bytes of memory that judging may take with all its boxes; what this process may have, where not given.
   */
  readonly memoryBytes?: number;
  /** Takes a line for people where fewer programs are judged at once than asked for. */
  readonly onNote?: (line: string) => void;
}

/** How far judging is, in programs; equal programs count once. */
export interface JudgeProgress {
  readonly done: number;
  readonly total: number;
  readonly passed: number;
  /** Of `done`, those taken from the cache. */
  readonly cached: number;
}

/**
 * Judges programs, each distinct one once, and gives the judgements in their order. What is in the cache is
 * not judged again, and every judgement is in it before it counts as done.
 *
 * A program whose wall limit ran out while it used little processor time may have been starved by its
 * neighbours: it is judged again, alone, at the end. A program that fails its isolated tests is judged in its
 * own process if the problem's canonical solution fails them too and passes there: then the tests cannot be
 * isolated. Throws the signal's reason when aborted and HarnessError where judging failed; nothing that was
 * judged is lost.
 */
export async function judgeAll(jobs: readonly Job[], options: JudgeAllOptions): Promise<Judgement[]> {
  const { signal, onProgress = () => {} } = options;
  signal?.throwIfAborted();
  const { sandbox, cache, stop } = stoppable(options);
  const keys = jobs.map((job) => keyOf(job, options));
  const distinct = new Map(jobs.map((job, i) => [keys[i], job]));
  const queue = [...distinct].filter(([key]) => cache.get(key) === undefined);
  const progress = { done: 0, total: distinct.size, passed: 0, cached: distinct.size - queue.length };
  const count = (judgement: Judgement | undefined) => {
    if (judgement === undefined) return;
    progress.done++;
    if (judgement.verdict === 'passed') progress.passed++;
  };
  for (const key of distinct.keys()) count(cache.get(key));
  onProgress({ ...progress });

  const needsOwnProcess = newNeedsOwnProcess({ ...options, cache });
  const { aborted, release } = rejectOnAbort(signal);

  const starved: [string, Job][] = [];
  const judgeNext = async (judge: Judge, [key, job]: [string, Job], isAlone: boolean) => {
    const found = await judgeJob(judge, job, needsOwnProcess, isAlone);
    if (found.starved && !isAlone) return void starved.push([key, job]);
    const judgement = recordOf(found);
    cache.add(key, judgement);
    count(judgement);
    onProgress({ ...progress });
  };
  const work = async (lane: number, isAlone: boolean, jobsLeft: [string, Job][]) => {
    const judge = openJudge({ ...options, sandbox, lane });
    try {
      for (let job = jobsLeft.shift(); job; job = jobsLeft.shift()) await judgeNext(judge, job, isAlone);
    } finally {
      await judge.close();
    }
  };
  const atOnce = lanesFor(queue, options);
  const workers = Array.from({ length: atOnce }, (_, lane) => work(lane, atOnce === 1, queue));
  try {
    await Promise.race([Promise.all(workers), aborted]);
    workers.push(work(0, true, starved));
    await Promise.race([Promise.all(workers), aborted]);
  } finally {
    release();
    stop();
    await Promise.allSettled(workers);
  }
  return keys.map((key) => cache.get(key) as Judgement);
}

/** How many programs are judged at once: no more than memory holds, each at its limit. */
function lanesFor(queue: readonly [string, Job][], options: JudgeAllOptions): number {
  const { timeout, memoryBytes = availableMemory(), onNote = () => {} } = options;
  const lanes = Math.min(options.lanes, queue.length);
  const limits = queue.map(([, { program }]) => limitsOf(program.language, timeout).memoryBytes);
  const largest = limits.reduce((most, limit) => Math.max(most, limit), 0);
  const fitting = lanesWithin(memoryBytes, lanes, largest);
  if (fitting < lanes) {
    const gibibytes = (memoryBytes / 2 ** 30).toFixed(1);
    onNote(`judging ${fitting} at once, not ${lanes}: ${gibibytes} GiB of memory hold no more`);
  }
  return Math.min(fitting, lanes);
}

/**
 * The hash of all that a judgement depends on; without a canonical solution, that of the isolated tests
 * alone.
 */
function keyOf({ program, canonical }: Job, { sandbox, timeout, toolchains }: JudgeAllOptions): string {
  const { language } = program;
  const limits = limitsOf(language, timeout);
  const parts = {
    judgeVersion,
    sandbox: [sandbox.mode, sandbox.accounting],
    limits,
    toolchain: toolchains[language] ?? null,
    program,
    canonical,
  };
  return createHash('sha256').update(canonicalJson(parts, 'key')).digest('hex');
}

/** Null where the canonical solution ran out of its time, which says nothing about its tests. */
type NeedsOwnProcess = (canonical: Program, judge: Judge, isAlone: boolean) => Promise<boolean | null>;

async function judgeJob(
  judge: Judge,
  { program, canonical }: Job,
  needsOwnProcess: NeedsOwnProcess,
  isAlone: boolean,
): Promise<Judgement> {
  const judgement = await judge.judge(program);
  const together = inProcess(program);
  if (judgement.verdict !== 'failed' || together === null || canonical === null) return judgement;
  const needs = await needsOwnProcess(canonical, judge, isAlone);
  if (needs === null) return { ...judgement, starved: true };
  return needs ? await judge.judge(together) : judgement;
}

/** As it is kept and shown. */
function recordOf({ starved: _, ...judgement }: Judgement): Judgement {
  const seconds = Math.round(judgement.seconds * 1e4) / 1e4;
  return { ...judgement, seconds, detail: oneLine(judgement.detail) };
}

/** Tells, once for each canonical solution, whether its tests fail in isolation alone. */
function newNeedsOwnProcess(options: JudgeAllOptions): NeedsOwnProcess {
  const known = new Map<string, Promise<boolean | null>>();
  const { cache } = options;
  const verdictOf = async (program: Program, judge: Judge) => {
    const key = keyOf({ program, canonical: null }, options);
    const kept = cache.get(key);
    if (kept !== undefined) return kept.verdict;
    const judgement = recordOf(await judge.judge(program));
    if (judgement.verdict !== 'timeout') cache.add(key, judgement);
    return judgement.verdict;
  };
  const decide = async (canonical: Program, judge: Judge) => {
    const together = inProcess(canonical);
    if (together === null) return false;
    const apart = await verdictOf(canonical, judge);
    if (apart !== 'failed') return apart === 'timeout' ? null : false;
    const inOne = await verdictOf(together, judge);
    return inOne === 'timeout' ? null : inOne === 'passed';
  };
  return (canonical, judge, isAlone) => {
    // What could not be decided beside others is tried once more alone, and then it is so.
    const key = `${keyOf({ program: canonical, canonical: null }, options)} ${isAlone}`;
    const decision = known.get(key) ?? decide(canonical, judge);
    known.set(key, decision);
    return decision;
  };
}

/** A promise that never resolves, and rejects with the signal's reason when it is aborted. */
function rejectOnAbort(signal: AbortSignal | undefined): { aborted: Promise<never>; release: () => void } {
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal?.reason);
  });
  // It may reject when nobody waits any more.
  aborted.catch(() => {});
  signal?.addEventListener('abort', abort);
  return { aborted, release: () => signal?.removeEventListener('abort', abort) };
}

/**
 * The sandbox and the cache until judging stops: then all boxes are killed, no more are opened, and what
 * comes of programs that were killed is not kept.
 */
function stoppable({ sandbox, cache }: JudgeAllOptions): {
  sandbox: Sandbox;
  cache: JudgementCache;
  stop: () => void;
} {
  const open = new Set<Box>();
  let isStopped = false;
  const goOn = () => {
    if (isStopped) throw new HarnessError('judging has stopped');
  };
  return {
    sandbox: {
      ...sandbox,
      open(options) {
        goOn();
        const box = sandbox.open(options);
        open.add(box);
        const forget = () => void open.delete(box);
        box.ended.then(forget, forget);
        return box;
      },
    },
    cache: {
      ...cache,
      add(key, judgement) {
        goOn();
        cache.add(key, judgement);
      },
    },
    stop() {
      isStopped = true;
      for (const box of open) box.kill();
    },
  };
}
