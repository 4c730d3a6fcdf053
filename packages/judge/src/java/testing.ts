import { SandboxError } from '../errors.ts';
import type { JavaCalls, Program } from '../program.ts';
import type { Box, Sandbox } from '../sandbox/box.ts';
import { javaLimits, type Limits } from '../sandbox/limits.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { findJavaHome } from './java-home.ts';
import { message, tagOf, textAt } from './java-messages.ts';
import { judgeClasses, workerLaunch } from './java-processes.ts';
import { closeJavaUnit, javaTester } from './java-stub.ts';
import { type JavaWorker, openJavaWorker } from './java-worker.ts';

/** The machine's sandbox; null, for tests to skip, where it has none or no JDK, unless it is required. */
export async function javaSandbox(): Promise<Sandbox | null> {
  try {
    findJavaHome();
    return await openSandbox();
  } catch (error) {
    if (error instanceof SandboxError && process.env.FLEX_REQUIRE_SANDBOX !== '1') return null;
    throw error;
  }
}

/** A sandbox that remembers what it opened, by lane, and the last chunk each lane wrote. */
export interface WatchedSandbox extends Sandbox {
  readonly boxes: Map<number, Box[]>;
  readonly lastOutput: Map<number, Buffer>;
}

export function watched(sandbox: Sandbox): WatchedSandbox {
  const boxes = new Map<number, Box[]>();
  const lastOutput = new Map<number, Buffer>();
  return {
    ...sandbox,
    boxes,
    lastOutput,
    open(options) {
      const { lane, onOutput } = options;
      const box = sandbox.open({
        ...options,
        onOutput(chunk) {
          lastOutput.set(lane, chunk);
          onOutput?.(chunk);
        },
      });
      boxes.set(lane, [...(boxes.get(lane) ?? []), box]);
      return box;
    },
  };
}

/** A worker that no judge has. */
export async function openWorker(sandbox: Sandbox): Promise<JavaWorker> {
  const home = findJavaHome();
  const launch = workerLaunch(home, await judgeClasses(sandbox, home, 2));
  return await openJavaWorker((onOutput) => sandbox.open({ ...launch, lane: 2, onOutput }));
}

/** What tests did. */
export interface TestsEnd {
  readonly calls: number;
  /** Their first failure, as the worker says it: a letter and a line; empty where there was none. */
  readonly failure: string;
}

/** Runs tests whose calls get these replies, by number; where there is none, the candidate is gone. */
export function runTester(
  worker: JavaWorker,
  { tester, mainClass = 'Problem' }: { readonly tester: string; readonly mainClass?: string },
  replyTo: (call: number) => Buffer | undefined,
): Promise<TestsEnd> {
  let calls = 0;
  let failure = '';
  return new Promise((resolve) => {
    worker.ask(message('T', mainClass, tester), (answer) => {
      if (answer === null) return resolve({ calls, failure: 'dead' });
      if (tagOf(answer) === 'D') return resolve({ calls, failure });
      if (tagOf(answer) === 'F') {
        failure = `${answer.toString('latin1', 1, 2)} ${textAt(answer, 2)}`;
        return;
      }
      const reply = replyTo(calls++);
      const number = answer.subarray(1, 5);
      worker.send(reply ? Buffer.concat([Buffer.from('R'), number, reply]) : message('G'));
    });
  });
}

/** Time enough on a machine busy with others. */
export const testLimits: Limits = { ...javaLimits, wallSeconds: 40, cpuSeconds: 40 };

export interface Fixture {
  /** The body of the method, and what follows it in the class `Problem`. */
  readonly body: string;
  readonly header?: string;
  /** Statements of the tests. */
  readonly tests?: string;
  readonly whole?: string;
}

/** A program of one method, tested by statements; at first the method that adds one. */
export function fixture({
  body,
  header = 'public static Object f(int x)',
  tests = 'assert f(1).equals(2);\nassert f(41).equals(42);',
  whole,
}: Fixture): Program<JavaCalls> {
  const imports = 'import java.io.*;\nimport java.math.*;\nimport java.util.*;\n';
  const prompt = `${imports}class Problem {\n${header} {\n`;
  const main = `}\npublic static void main(String[] args) throws Throwable {\n${tests}\n}\n}\n`;
  return {
    language: 'java',
    source: closeJavaUnit(prompt + body),
    tests: {
      kind: 'java-calls',
      tester: javaTester({ prompt, tests: main }),
      mainClass: 'Problem',
      whole: whole ?? null,
    },
  };
}
