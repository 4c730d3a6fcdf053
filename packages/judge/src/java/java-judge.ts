import { oneLine } from '@flex/base';
import { HarnessError } from '../errors.ts';
import type { JavaCalls, Program } from '../program.ts';
import type { Sandbox } from '../sandbox/box.ts';
import type { Limits } from '../sandbox/limits.ts';
import type { Finding } from '../verdict.ts';
import { type Compilers, compile } from './java-compiler.ts';
import { findJavaHome } from './java-home.ts';
import { candidateLaunch, judgeClasses, workerLaunch } from './java-processes.ts';
import { type Breakdown, runTests } from './java-tests.ts';
import { type JavaWorker, openJavaWorker } from './java-worker.ts';

/** Processor seconds that the compiler may use for one source, where nothing else is said. */
const compileSeconds = 10;

export interface JavaJudge {
  /**
   * Compiles the program as its publisher would, then runs its tests against it: tests and candidate each in
   * a box of its own, with nothing between them but plain data. `limits` hold for the candidate's process.
   * One program at a time. Throws HarnessError where a process of the judge's ends twice before the program
   * has answered a call, and for tests that do not compile.
   */
  judge(program: Program<JavaCalls>, limits: Limits): Promise<Finding>;
  close(): Promise<void>;
}

export interface JavaJudgeOptions {
  readonly sandbox: Sandbox;
  /** Tells judges apart that work at once. */
  readonly lane: number;
  /** Seconds of a program's check, which bound its compilation too; null takes the compiler's own. */
  readonly timeout?: number | null;
}

/**
 * A judge of Java programs with a process that stays warm; it starts with the first program and is replaced
 * after it dies, or where a program has left it other than it was. Throws SandboxError without a JDK.
 */
export function openJavaJudge({ sandbox, lane, timeout = null }: JavaJudgeOptions): JavaJudge {
  const home = findJavaHome();
  const lanes = { worker: lane * 4 + 2, candidate: lane * 4 + 3 };
  const opened = new Set<JavaWorker>();
  let kept: JavaWorker | null = null;

  async function open(): Promise<JavaWorker> {
    const launch = workerLaunch(home, await judgeClasses(sandbox, home, lanes.worker));
    const worker = await openJavaWorker((onOutput) =>
      sandbox.open({ ...launch, lane: lanes.worker, onOutput }),
    );
    opened.add(worker);
    const forget = () => void opened.delete(worker);
    worker.ended.then(forget, forget);
    return worker;
  }
  const compilers: Compilers = {
    async warm() {
      if (kept?.dead) await kept.ended;
      if (kept === null || kept.dead) kept = await open();
      return kept;
    },
    fresh: open,
    keep(worker) {
      kept?.kill();
      kept = worker;
    },
  };

  async function attempt(
    { source, tests }: Program<JavaCalls>,
    limits: Limits,
  ): Promise<Finding | Breakdown> {
    const seconds = timeout ?? compileSeconds;
    const compiled = await compile(source, compilers, seconds);
    if (!('jar' in compiled)) return compiled;
    const whole = tests.whole === null ? compiled : await compile(tests.whole, compilers, seconds);
    if (!('jar' in whole)) return whole;
    const classes = await judgeClasses(sandbox, home, lanes.worker);
    const launch = candidateLaunch(home, classes, compiled.jar, limits);
    return await runTests({
      worker: await compilers.warm(),
      tests,
      open: (onOutput) => sandbox.open({ ...launch, lane: lanes.candidate, onOutput }),
    });
  }

  return {
    async judge(program, limits) {
      const first = await attempt(program, limits);
      if (!('breakdown' in first)) return first;
      // Whatever the process had judged before is no part of the second attempt.
      kept?.kill();
      const second = await attempt(program, limits);
      if (!('breakdown' in second)) return second;
      if (second.blame !== null) return second.blame;
      throw new HarnessError(`java: ${oneLine(second.breakdown)}`);
    },
    async close() {
      const all = [...opened];
      for (const worker of all) worker.kill();
      await Promise.all(all.map(({ ended }) => ended));
    },
  };
}
