import { SandboxError } from '../errors.ts';
import type { JavaCalls, Program } from '../program.ts';
import type { Box, Sandbox } from '../sandbox/box.ts';
import { javaLimits, type Limits } from '../sandbox/limits.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { findJavaHome } from './java-home.ts';
import { closeJavaUnit, javaTester } from './java-stub.ts';

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
