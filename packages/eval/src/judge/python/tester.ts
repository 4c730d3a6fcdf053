import type { PythonCalls } from '../../benchmark.ts';
import { HarnessError } from '../../errors.ts';
import type { Sandbox } from '../../sandbox/box.ts';
import { frame, newFrameReader } from '../../sandbox/frames.ts';
import { defaultLimits } from '../../sandbox/limits.ts';
import type { Failure } from '../../verdict.ts';
import { maxFrameBytes, pythonCommand, scriptFiles } from './candidate.ts';

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

export function openTester(sandbox: Sandbox, lane: number): Tester {
  let onFrame: (payload: Buffer) => void = () => {};
  let isOpen = true;
  const reader = newFrameReader(maxFrameBytes, (payload) => onFrame(payload));
  const box = sandbox.open({
    command: pythonCommand('/flex/tester.py'),
    files: testerFiles,
    limits,
    lane,
    onOutput: reader.push,
  });
  const ended = box.ended.finally(() => {
    isOpen = false;
  });
  ended.catch(() => {});

  async function check(tests: PythonCalls, answer: (call: Buffer) => Promise<Buffer | null>) {
    if (!isOpen) throw new HarnessError('tester: its box has ended');
    const result = new Promise<TestResult>((resolve, reject) => {
      onFrame = (payload) => {
        const content = payload.subarray(1);
        switch (String.fromCharCode(payload[0])) {
          case 'C':
            answer(Buffer.from(content)).then(
              (reply) => box.write(reply === null ? gone : frame(reply)),
              reject,
            );
            break;
          case 'D':
            resolve(readResult(content));
            break;
          default:
            reject(new HarnessError(`tester: a check ended with status ${content}`));
        }
      };
      ended.then(
        ({ stopped, code, stderr }) =>
          reject(new HarnessError(`tester: its box ended (${stopped ?? code}): ${lastLine(stderr)}`)),
        reject,
      );
    });
    const { setup, code, entryPoints } = tests;
    box.write(frame(JSON.stringify({ setup, code, entryPoints })));
    return await result;
  }

  return {
    check,
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
