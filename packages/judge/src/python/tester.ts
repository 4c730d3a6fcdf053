import { HarnessError } from '../errors.ts';
import { pythonCommand } from '../languages/python.ts';
import type { PythonCalls } from '../program.ts';
import { frame, newFrameReader } from '../protocol/frames.ts';
import type { Sandbox } from '../sandbox/box.ts';
import { defaultLimits } from '../sandbox/limits.ts';
import type { Failure } from '../verdict.ts';
import { maxFrameBytes, scriptFiles } from './candidate.ts';

/** What the tests said of a candidate: null for a pass. */
export type TestResult = { readonly failure: Failure; readonly detail: string } | null;

/** A warm Python in a box that runs tests, each in a fork. One check at a time. */
export interface Tester {
  /**
   * Runs tests; `answer` gives the candidate's reply to a call, null when the candidate is gone. Throws
   * HarnessError when the tester's box ends instead.
   */
  check(tests: PythonCalls, answer: (call: Buffer) => Promise<Buffer | null>): Promise<TestResult>;
  /** Whether its box still runs. */
  readonly isOpen: boolean;
  kill(): void;
  close(): Promise<void>;
}

const limits = { ...defaultLimits, wallSeconds: Infinity, cpuSeconds: Infinity };
const testerFiles = scriptFiles('tester.py');
const gone = frame('A');

/** The check that runs. */
interface Check {
  readonly answer: (call: Buffer) => Promise<Buffer | null>;
  readonly resolve: (result: TestResult) => void;
  readonly reject: (error: unknown) => void;
  /** What it said; counts once its fork has ended. */
  result?: TestResult;
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

  /** A call, the result, or how the fork ended. */
  function take(check: Check, kind: string, content: Buffer): void {
    switch (kind) {
      case 'C':
        check.answer(content).then((reply) => box.write(reply === null ? gone : frame(reply)), check.reject);
        break;
      case 'D':
        check.result = readResult(content);
        break;
      default:
        if (check.result === undefined) {
          check.reject(new HarnessError(`tester: a check ended with status ${content} and no result`));
        } else check.resolve(check.result);
    }
  }

  return {
    async check({ setup, code, entryPoints }, answer) {
      if (!isOpen) throw new HarnessError('tester: its box has ended');
      try {
        return await new Promise<TestResult>((resolve, reject) => {
          current = { answer, resolve, reject };
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

function readResult(content: Buffer): TestResult {
  const result = JSON.parse(content.toString()) as [Failure, string] | null;
  return result && { failure: result[0], detail: result[1] };
}

const lastLine = (text: string) => text.trim().split('\n').at(-1) ?? '';
