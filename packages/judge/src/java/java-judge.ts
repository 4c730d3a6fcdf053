import { oneLine } from '@flex/base';
import { HarnessError } from '../errors.ts';
import type { JavaCalls, Program } from '../program.ts';
import type { Sandbox } from '../sandbox/box.ts';
import type { Limits } from '../sandbox/limits.ts';
import type { Finding } from '../verdict.ts';
import { findJavaHome } from './java-home.ts';
import { message, tagOf, textAt } from './java-messages.ts';
import { candidateLaunch, judgeClasses, workerLaunch } from './java-processes.ts';
import { type Breakdown, runTests } from './java-tests.ts';
import { type JavaWorker, openJavaWorker } from './java-worker.ts';

/** Seconds that the compiler may take for one source. */
const compileSeconds = 10;

export interface JavaJudge {
  /**
   * Compiles the program as its publisher would, then runs its tests against it: tests and candidate each in
   * a box of its own, with nothing between them but plain data. `limits` hold for the candidate's process.
   * One program at a time. Throws HarnessError where a process of the judge's ends twice, and for tests that
   * do not compile.
   */
  judge(program: Program<JavaCalls>, limits: Limits): Promise<Finding>;
  close(): Promise<void>;
}

/**
 * A judge of Java programs with a process that stays warm; it starts with the first program and is replaced
 * after it dies. `lane` tells judges apart that work at once. Throws SandboxError without a JDK.
 */
export function openJavaJudge({ sandbox, lane }: { sandbox: Sandbox; lane: number }): JavaJudge {
  const home = findJavaHome();
  const lanes = { worker: lane * 4 + 2, candidate: lane * 4 + 3 };
  let worker: JavaWorker | null = null;

  async function warm(classes: Uint8Array): Promise<JavaWorker> {
    if (worker?.dead) await worker.ended;
    if (worker === null || worker.dead) {
      const launch = workerLaunch(home, classes);
      worker = await openJavaWorker((onOutput) => sandbox.open({ ...launch, lane: lanes.worker, onOutput }));
    }
    return worker;
  }

  async function attempt(
    { source, tests }: Program<JavaCalls>,
    limits: Limits,
  ): Promise<Finding | Breakdown> {
    const classes = await judgeClasses(sandbox, home, lanes.worker);
    const judge = await warm(classes);
    const compiled = await compile(judge, source);
    if (!('jar' in compiled)) return compiled;
    const whole = tests.whole === null ? compiled : await compile(judge, tests.whole);
    if (!('jar' in whole)) return whole;
    const launch = candidateLaunch(home, classes, compiled.jar, limits);
    return await runTests({
      worker: judge,
      tests,
      open: (onOutput) => sandbox.open({ ...launch, lane: lanes.candidate, onOutput }),
    });
  }

  return {
    async judge(program, limits) {
      let found = await attempt(program, limits);
      if ('breakdown' in found) found = await attempt(program, limits);
      if ('breakdown' in found) {
        if (!found.inCompiler)
          throw new HarnessError(`java: a process of the judge's ended twice: ${oneLine(found.breakdown)}`);
        return compileError(found.breakdown);
      }
      return found;
    },
    async close() {
      worker?.kill();
      await worker?.ended;
    },
  };
}

/**
 * Its classes as a jar, the compiler's complaint, or word that the compiler's process ended or had to. Such a
 * source is tried again: the machine may have been busy.
 */
async function compile(worker: JavaWorker, source: string): Promise<{ jar: Buffer } | Finding | Breakdown> {
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    worker.kill();
  }, compileSeconds * 1000);
  const answer = await new Promise<Buffer | null>((resolve) => {
    worker.ask(message('C', source), (bytes) => resolve(bytes && Buffer.from(bytes)));
  });
  clearTimeout(timer);
  if (late) return { breakdown: `the compiler did not end in ${compileSeconds} s`, inCompiler: true };
  if (answer === null) return { breakdown: `compiler: ${await worker.ended}`, inCompiler: true };
  if (tagOf(answer) === 'J') return { jar: answer.subarray(5) };
  return compileError(textAt(answer, 1));
}

function compileError(detail: string): Finding {
  return { verdict: 'compile_error', failure: 'compile', detail: oneLine(detail) };
}
