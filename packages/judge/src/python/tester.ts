import { HarnessError } from '../errors.ts';
import { pythonCommand } from '../languages/python.ts';
import type { PythonCalls } from '../program.ts';
import { maxFrameBytes } from '../protocol/candidate.ts';
import { frame, newFrameReader } from '../protocol/frames.ts';
import type { Sandbox } from '../sandbox/box.ts';
import { defaultLimits } from '../sandbox/limits.ts';
import type { Failure } from '../verdict.ts';
import { testerFiles } from './scripts.ts';

/** What the tests said of a candidate: null for a pass. */
export type TestResult = { readonly failure: Failure; readonly detail: string } | null;

/** A warm Python in a box that runs tests, each in a fork. One check at a time. */
export interface Tester {
  /**
   * Runs tests to their end; `answer` gives the candidate's reply to a call, null when the candidate is gone,
   * and `onFailure` takes the first failure as soon as there is one. A fork that ends before its tests, by
   * what it was answered, is a failure; the tester is of no use then. Throws HarnessError where the tester's
   * box ends, its fork is killed, or ends without an answer.
   */
  check(tests: PythonCalls, candidate: Answers): Promise<TestResult>;
  /** Whether it can run a check. */
  readonly isOpen: boolean;
  kill(): void;
  close(): Promise<void>;
}

export interface Answers {
  answer(call: Buffer): Promise<Buffer | null>;
  onFailure(failure: NonNullable<TestResult>): void;
}

/**
 * A fork that takes all it may of memory stays below what its box may hold: the process it came from lives
 * on.
 */
const limits = {
  ...defaultLimits,
  wallSeconds: Infinity,
  cpuSeconds: Infinity,
  addressSpaceBytes: 2 ** 30,
};
/** Of a fork without memory, see tester.py; otherwise as Python's subprocess: a signal is negative. */
const memoryStatus = 77;
const killed = -9;
const gone = frame('A');

/** The check that runs. */
interface Check extends Answers {
  readonly resolve: (result: TestResult) => void;
  readonly reject: (error: unknown) => void;
  failure: TestResult;
  isAnswered: boolean;
  /** All tests have run; counts once the fork has ended. */
  isDone: boolean;
}

export function openTester(sandbox: Sandbox, lane: number): Tester {
  let current: Check | null = null;
  let isOpen = true;
  const reader = newFrameReader(maxFrameBytes, (payload) => {
    if (current !== null) take(current, String.fromCharCode(payload[0]), payload.subarray(1));
  });
  const box = sandbox.open({
    command: [...pythonCommand, '/flex/tester.py'],
    files: testerFiles,
    limits,
    lane,
    onOutput(chunk) {
      try {
        reader.push(chunk);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        current?.reject(new HarnessError(`tester: sent ${error.message}`));
        box.kill();
      }
    },
  });
  const ended = box.ended.finally(() => {
    isOpen = false;
  });
  ended.then(
    ({ stopped, code, stderr }) =>
      current?.reject(new HarnessError(`tester: its box ended (${stopped ?? code}): ${lastLine(stderr)}`)),
    (error) => current?.reject(error),
  );

  /** A call, the first failure, the end of the tests, or how the fork ended. */
  function take(check: Check, kind: string, content: Buffer): void {
    switch (kind) {
      case 'C':
        check.answer(content).then((reply) => {
          check.isAnswered = true;
          box.write(reply === null ? gone : frame(reply));
        }, check.reject);
        break;
      case 'F':
        check.failure = readFailure(content);
        check.onFailure(check.failure);
        break;
      case 'D':
        check.isDone = true;
        break;
      default:
        endCheck(check, Number(content));
    }
  }

  function endCheck(check: Check, status: number): void {
    const isWhole = check.isDone && status === 0;
    // What a fork had not read of a reply would be taken for the next check.
    isOpen &&= isWhole;
    if (isWhole || check.failure !== null) check.resolve(check.failure);
    else if (status === killed || !check.isAnswered) {
      check.reject(new HarnessError(`tester: a check ended with status ${status} and no result`));
    } else if (status === memoryStatus) {
      check.resolve({ failure: 'memory', detail: 'filled the memory of the tests with its answers' });
    } else {
      check.resolve({ failure: 'protocol', detail: `ended the tests with its answers (status ${status})` });
    }
  }

  return {
    async check({ setup, code, entryPoints }, candidate) {
      if (!isOpen) throw new HarnessError('tester: its box has ended');
      try {
        return await new Promise<TestResult>((resolve, reject) => {
          current = { ...candidate, resolve, reject, failure: null, isAnswered: false, isDone: false };
          box.write(frame(JSON.stringify({ setup, code, entryPoints })));
        });
      } finally {
        current = null;
      }
    },
    get isOpen() {
      return isOpen;
    },
    kill: box.kill,
    async close() {
      box.kill();
      await ended;
    },
  };
}

function readFailure(content: Buffer): NonNullable<TestResult> {
  const [failure, detail] = JSON.parse(content.toString()) as [Failure, string];
  return { failure, detail };
}

const lastLine = (text: string) => text.trim().split('\n').at(-1) ?? '';
