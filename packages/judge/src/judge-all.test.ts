import { readFileSync } from 'node:fs';
import { temporaryFile } from '@flex/base/testing';
import { describe, expect, test } from 'vitest';
import { HarnessError } from './errors.ts';
import { type Job, type JudgeAllOptions, type JudgeProgress, judgeAll } from './judge-all.ts';
import { openJudgementCache } from './judgement-cache.ts';
import type { Program } from './program.ts';
import type { BoxOptions, Sandbox } from './sandbox/box.ts';
import { openSandbox } from './sandbox/sandbox.ts';
import { withoutSandbox } from './testing/without-sandbox.ts';

/** A Python program whose tests call its function f. */
function calling(source: string, code = 'assert f(2) == 4'): Program {
  const inProcess = `\n${code}\n`;
  return {
    language: 'py',
    source,
    tests: { kind: 'python-calls', setup: '', code, entryPoints: ['f'], inProcess },
  };
}

const job = (program: Program, canonical: Program | null = null): Job => ({ program, canonical });

const double = calling('def f(x): return 2 * x');
const square = calling('def f(x): return x * x');
const wrong = calling('def f(x): return x');
const sleeping = calling('import time\ndef f(x): time.sleep(60)');

/** Tests that no two processes can share: the candidate changes what it is given. */
const mutating = 'x = [1]\nf(x)\nassert x == [1, 2]';
const appends = calling('def f(x): x.append(2)', mutating);
const extends_ = calling('def f(x): x.extend([2])', mutating);
const idle = calling('def f(x): pass', mutating);

/** The sandbox, with a record of its boxes; `change` may change how one is opened. */
async function watched(
  change: (options: BoxOptions, candidates: number) => BoxOptions = (options) => options,
) {
  const real = await openSandbox();
  const seen = { candidates: 0, inProcess: 0, open: 0, lanes: new Set<number>(), clashes: 0 };
  const sandbox: Sandbox = {
    ...real,
    open(options) {
      const isCandidate = '/flex/candidate.pyc' in (options.files ?? {});
      if (isCandidate) seen.candidates++;
      if (options.command.includes('/flex/driver.py')) seen.inProcess++;
      const box = real.open(isCandidate ? change(options, seen.candidates) : options);
      if (seen.lanes.has(options.lane)) seen.clashes++;
      seen.lanes.add(options.lane);
      seen.open++;
      void box.ended.finally(() => {
        seen.open--;
        seen.lanes.delete(options.lane);
      });
      return box;
    },
  };
  return { sandbox, seen };
}

/** Little processor time, which runs out however busy the machine is. */
const hurried = (options: BoxOptions): BoxOptions => ({
  ...options,
  limits: { ...options.limits, cpuSeconds: 0.4 },
});

/** The first candidates have little time, as if starved. */
const starving = (count: number) =>
  watched((options, candidates) => {
    const { limits } = options;
    const wallSeconds = candidates <= count ? 1.5 : limits.wallSeconds;
    return { ...options, limits: { ...limits, wallSeconds } };
  });

type Changes = Partial<JudgeAllOptions>;

async function optionsWith(changes: Changes): Promise<JudgeAllOptions> {
  const sandbox = changes.sandbox ?? (await openSandbox());
  const cache = changes.cache ?? (await openJudgementCache(null));
  return { lanes: 2, timeout: null, toolchains: {}, ...changes, sandbox, cache };
}

const judge = async (jobs: readonly Job[], changes: Changes = {}) =>
  await judgeAll(jobs, await optionsWith(changes));

const verdictsOf = async (jobs: readonly Job[], changes: Changes = {}) =>
  (await judge(jobs, changes)).map(({ verdict, assurance }) => `${verdict} ${assurance}`);

const newCacheFile = () => temporaryFile('judgements.jsonl', '');

describe.skipIf(withoutSandbox)('judging many programs', () => {
  test('gives their judgements in their order, and judges equal ones once', async () => {
    const { sandbox, seen } = await watched();
    const jobs = [double, wrong, square, double, { ...wrong }, structuredClone(double)].map((p) => job(p));
    const progress: JudgeProgress[] = [];
    const onProgress = (now: JudgeProgress) => progress.push(now);
    const judgements = await judge(jobs, { sandbox, onProgress });
    const verdicts = judgements.map(({ verdict }) => verdict);
    expect(verdicts).toEqual(['passed', 'failed', 'passed', 'passed', 'failed', 'passed']);
    expect(seen).toMatchObject({ candidates: 3, inProcess: 0, open: 0, clashes: 0 });
    expect(progress.map(({ done }) => done)).toEqual([0, 1, 2, 3]);
    expect(progress.at(-1)).toEqual({ done: 3, total: 3, passed: 2, cached: 0 });
  });
  test('of none gives none', async () => {
    expect(await judge([])).toEqual([]);
  });
  test('uses no lane for two boxes at once', async () => {
    const { sandbox, seen } = await watched();
    const jobs = Array.from({ length: 12 }, (_, i) => job(calling(`def f(x): return ${i}`)));
    await judge(jobs, { sandbox, lanes: 4 });
    expect(seen).toMatchObject({ candidates: 12, clashes: 0, open: 0 });
  });

  test('judges only what is missing when it goes on', async () => {
    const path = newCacheFile();
    const session = async (jobs: readonly Job[]) => {
      const cache = await openJudgementCache(path);
      const { sandbox, seen } = await watched();
      const progress: JudgeProgress[] = [];
      const verdicts = await verdictsOf(jobs, { sandbox, cache, onProgress: (now) => progress.push(now) });
      await cache.close();
      return { verdicts, candidates: seen.candidates, first: progress[0] };
    };
    await session([job(double), job(wrong)]);
    const all = [job(square), job(wrong), job(double)];
    const verdicts = ['passed isolated', 'failed isolated', 'passed isolated'];
    const first = { done: 2, total: 3, passed: 1, cached: 2 };
    expect(await session(all)).toEqual({ verdicts, candidates: 1, first });
    expect(await session(all)).toMatchObject({ verdicts, candidates: 0 });
  });
  test('judges again what anything has changed for', async () => {
    const cache = await openJudgementCache(null);
    const { sandbox, seen } = await watched();
    const tests = { ...double.tests, setup: 'import math' } as Program['tests'];
    const variants: [Job, Changes][] = [
      [job(double), {}],
      [job({ ...double, source: `${double.source}\n` }), {}],
      [job({ ...double, tests }), {}],
      [job(double, square), {}],
      [job(double), { timeout: 7 }],
      [job(double), { toolchains: { py: 'Python 3.11' } }],
      [job(double), { sandbox: { ...sandbox, mode: 'another' } }],
    ];
    for (const [i, [one, changes]] of variants.entries()) {
      for (const _ of [1, 2]) await judge([one], { sandbox, cache, ...changes });
      expect(seen.candidates, `variant ${i}`).toBe(i + 1);
    }
    await judge([job(double)], { sandbox, cache, toolchains: { java: '21' }, lanes: 1 });
    expect(seen.candidates).toBe(variants.length);
  });

  test('that is aborted ends at once, keeps what is done, and takes nothing from what it stopped', async () => {
    const cache = await openJudgementCache(null);
    const added: string[] = [];
    const counting = {
      ...cache,
      add: async (...[key, judgement]: Parameters<typeof cache.add>) => {
        added.push(judgement.verdict);
        await cache.add(key, judgement);
      },
    };
    const { sandbox, seen } = await watched();
    const controller = new AbortController();
    const reason = new Error('enough');
    let abortedAt = 0;
    const onProgress = ({ done }: JudgeProgress) => {
      if (done < 2) return;
      // The others are asleep by then.
      setTimeout(() => {
        abortedAt = performance.now();
        controller.abort(reason);
      }, 300);
    };
    const jobs = [double, wrong, sleeping, calling(`${sleeping.source} # too`), square].map((p) => job(p));
    const { signal } = controller;
    await expect(judge(jobs, { sandbox, cache: counting, signal, onProgress })).rejects.toBe(reason);
    expect(performance.now() - abortedAt).toBeLessThan(2000);
    expect(added.sort()).toEqual(['failed', 'passed']);
    expect(seen.open).toBe(0);
    expect(await verdictsOf(jobs.slice(0, 2), { sandbox, cache })).toEqual([
      'passed isolated',
      'failed isolated',
    ]);
    expect(seen.candidates).toBe(4);
  });
  test('that is aborted while a canonical solution is judged takes nothing from that', async () => {
    const cache = await openJudgementCache(null);
    const controller = new AbortController();
    const reason = new Error('enough');
    const { sandbox, seen } = await watched((options, candidates) => {
      if (candidates === 2) setTimeout(() => controller.abort(reason), 300);
      return options;
    });
    const slow = calling(`import time\ntime.sleep(60)\n${double.source}`);
    const added: unknown[] = [];
    const counting = { ...cache, add: async (...entry: unknown[]) => void added.push(entry) };
    const judging = judge([job(wrong, slow)], { sandbox, cache: counting, signal: controller.signal });
    await expect(judging).rejects.toBe(reason);
    expect(added).toEqual([]);
    expect(seen.open).toBe(0);
  });
  test('does not begin where it is aborted before', async () => {
    const { sandbox, seen } = await watched();
    const signal = AbortSignal.abort(new Error('never'));
    await expect(judge([job(double)], { sandbox, signal })).rejects.toThrow('never');
    expect(seen.candidates).toBe(0);
  });
  test('that fails as a harness records no failure of the programs it stopped', async () => {
    const path = newCacheFile();
    const cache = await openJudgementCache(path);
    const { sandbox, seen } = await watched();
    const broken = calling(double.source, 'import os, time\ntime.sleep(0.3)\nos.kill(os.getpid(), 9)');
    const jobs = [sleeping, broken].map((p) => job(p));
    const started = performance.now();
    await expect(judge(jobs, { sandbox, cache })).rejects.toThrow(HarnessError);
    expect(performance.now() - started).toBeLessThan(6000);
    expect(seen.open).toBe(0);
    await cache.close();
    expect(readFileSync(path, 'utf8')).toBe('');
  });
});

describe.skipIf(withoutSandbox)('a program that waited until its time was over', () => {
  const waiting = calling('import time\ndef f(x):\n  time.sleep(3)\n  return 4');
  test('is judged again, alone, after all others', async () => {
    const { sandbox, seen } = await starving(3);
    const dones: number[] = [];
    const jobs = [job(waiting), job(double), job(wrong)];
    const onProgress = ({ done }: JudgeProgress) => dones.push(done);
    expect(await verdictsOf(jobs, { sandbox, onProgress })).toEqual([
      'passed isolated',
      'passed isolated',
      'failed isolated',
    ]);
    expect(seen).toMatchObject({ candidates: 4, open: 0 });
    expect(dones).toEqual([0, 1, 2, 3]);
  });
  test('has timed out if it does so again', async () => {
    const { sandbox, seen } = await watched();
    const [judgement] = await judge([job(sleeping), job(double)], { sandbox, timeout: 1.5 });
    expect(judgement).toMatchObject({ verdict: 'timeout', failure: 'never-stopped' });
    expect(seen.candidates).toBe(3);
  });
  test('is not judged again where it was alone', async () => {
    const { sandbox, seen } = await watched();
    const [judgement] = await judge([job(sleeping)], { sandbox, timeout: 1.5 });
    expect(judgement).toMatchObject({ verdict: 'timeout', failure: 'never-stopped' });
    expect(seen.candidates).toBe(1);
  });
  test('is not judged again where it computed', async () => {
    const { sandbox, seen } = await watched(hurried);
    const busy = calling('def f(x):\n  while True: pass');
    const [judgement] = await judge([job(busy), job(double)], { sandbox });
    expect(judgement).toMatchObject({ verdict: 'timeout', failure: 'timeout' });
    expect(seen.candidates).toBe(2);
  });
});

describe.skipIf(withoutSandbox)('tests that cannot be isolated', () => {
  test('run in the process of the candidate, right or wrong', async () => {
    const { sandbox, seen } = await watched();
    const jobs = [appends, extends_, idle].map((p) => job(p, appends));
    expect(await verdictsOf(jobs, { sandbox })).toEqual([
      'passed in-process',
      'passed in-process',
      'failed in-process',
    ]);
    // The canonical solution's word is asked once, in each way.
    expect(seen).toMatchObject({ candidates: 4, inProcess: 4, open: 0 });
  });
  test('are known by the canonical solution, whose own judgement is a pass', async () => {
    const path = newCacheFile();
    const session = async (program: Program) => {
      const cache = await openJudgementCache(path);
      const verdicts = await verdictsOf([job(program, appends)], { cache });
      await cache.close();
      return verdicts;
    };
    expect(await session(appends)).toEqual(['passed in-process']);
    expect(await session(extends_)).toEqual(['passed in-process']);
    expect(await session(idle)).toEqual(['failed in-process']);
  });
  test.each<[string, Program | null]>([
    ['passes them isolated', double],
    ['fails them everywhere', wrong],
    ['does not end', calling('while True: pass')],
    ['does not compile', calling('f(')],
    ['is unknown', null],
  ])('are not those of a problem whose canonical solution %s', async (_, canonical) => {
    const { sandbox, seen } = await watched();
    // It would pass in the process of its tests, whose assertions it turns off.
    const cheat = calling(
      'import sys, os\nclass int(int): __eq__ = lambda s, o: True\ndef f(x): return int(5)',
    );
    expect(await verdictsOf([job(cheat, canonical)], { sandbox, timeout: 1 })).toEqual(['failed isolated']);
    expect(seen.inProcess).toBe(canonical === wrong ? 1 : 0);
  });
  test('are found out anew where the canonical solution had no time', async () => {
    const slow = calling('import time\ntime.sleep(3)\ndef f(x): x.append(2)', mutating);
    const { sandbox, seen } = await starving(3);
    const verdicts = await verdictsOf([job(extends_, slow), job(double)], { sandbox });
    expect(verdicts).toEqual(['passed in-process', 'passed isolated']);
    expect(seen).toMatchObject({ candidates: 5, inProcess: 2, open: 0 });
  });
  test('are asked about for failed tests alone', async () => {
    const { sandbox, seen } = await watched(hurried);
    const others = ['while True: pass', 'f(', 'data = bytearray(9 << 30)'].map((source) =>
      calling(source, mutating),
    );
    const verdicts = await verdictsOf(
      others.map((p) => job(p, appends)),
      { sandbox },
    );
    expect(verdicts).toEqual(['timeout isolated', 'compile_error isolated', 'memory isolated']);
    expect(seen).toMatchObject({ candidates: 3, inProcess: 0 });
  });
});
