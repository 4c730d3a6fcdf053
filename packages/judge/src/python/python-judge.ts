import { setTimeout } from 'node:timers/promises';
import { HarnessError } from '../errors.ts';
import { pythonCommand } from '../languages/python.ts';
import type { Program, PythonCalls } from '../program.ts';
import { type Candidate, openCandidate } from '../protocol/candidate.ts';
import { verdictOfEnd } from '../protocol/verdict-of-end.ts';
import type { Sandbox } from '../sandbox/box.ts';
import type { Limits } from '../sandbox/limits.ts';
import { type Finding, passed } from '../verdict.ts';
import { candidateFiles, candidateScript } from './scripts.ts';
import { openTester, type Tester, type TestResult } from './tester.ts';

/** Judges Python programs one at a time, the tests in another box than the candidate. */
export interface PythonJudge {
  judge(program: Program<PythonCalls>, limits: Limits): Promise<Finding>;
  close(): Promise<void>;
}

/** The process of the tests died, and had been given answers. */
class TestsDied extends HarnessError {}

/** Milliseconds that tests may go on once the candidate they call is gone. */
const graceMs = 1000;

/**
 * The tests run in a warm box and call stubs; the candidate's box, which holds its program and nothing of the
 * tests, answers. Values cross as plain data (flex_codec.py). All tests run, whatever the answers are worth:
 * what a candidate is asked depends on what it answered, never on whether that was right. A pass needs the
 * tests' word that they ran to the end, a candidate that answered every call and kept to the protocol, and no
 * limit reached; otherwise the first failure counts, whatever comes after it.
 *
 * Where the tests' process dies before a failure, the program is judged once more; where its answers kill
 * that process again, while one that gets no answers lives, it has failed. Throws HarnessError where the
 * judge's own process fails twice. `lane` tells judges apart that work at once.
 */
export function openPythonJudge({ sandbox, lane }: { sandbox: Sandbox; lane: number }): PythonJudge {
  let tester: Tester | null = null;

  async function openedTester(): Promise<Tester> {
    if (tester?.isOpen) return tester;
    await closeTester();
    tester = openTester(sandbox, 4 * lane);
    return tester;
  }

  async function closeTester(): Promise<void> {
    await tester?.close();
    tester = null;
  }

  async function judgeOnce({ source, tests }: Program<PythonCalls>, limits: Limits): Promise<Finding> {
    const opened = await openedTester();
    const files = await candidateFiles(sandbox, 4 * lane + 1);
    const candidate = openCandidate({
      sandbox,
      limits,
      lane: 4 * lane + 1,
      command: [...pythonCommand, candidateScript],
      files,
    });
    try {
      return await findingOf(candidate, source, tests, opened);
    } catch (error) {
      await closeTester();
      throw error;
    } finally {
      candidate.kill();
      await candidate.ended;
    }
  }

  /** Throws HarnessError where not even tests run that ask nothing. */
  async function runNoTests(): Promise<void> {
    const nothing = { kind: 'python-calls', setup: '', code: '', entryPoints: [], inProcess: '' } as const;
    await (await openedTester()).check(nothing, { answer: async () => null, onFailure() {} });
  }

  return {
    async judge(program, limits) {
      try {
        return await judgeOnce(program, limits);
      } catch (error) {
        if (!(error instanceof HarnessError)) throw error;
      }
      try {
        return await judgeOnce(program, limits);
      } catch (error) {
        if (!(error instanceof TestsDied)) throw error;
        await runNoTests();
        return { verdict: 'failed', failure: 'protocol', detail: 'ended the tests with its answers, twice' };
      }
    },
    close: closeTester,
  };
}

async function findingOf(
  candidate: Candidate,
  source: string,
  tests: PythonCalls,
  tester: Tester,
): Promise<Finding> {
  const loaded = await candidate.ask('load', source);
  const unloaded = loaded && loadFailure(loaded);
  const result = loaded && (unloaded ?? (await testResult(candidate, tests, tester)));
  candidate.kill();
  const end = await candidate.ended;
  // The first failure counts: tests went on after it only so that the candidate could not tell.
  if (unloaded === null && result !== null && result.verdict !== 'passed') return result;
  if (end.stopped !== null && end.stopped !== 'closed') return verdictOfEnd(end);
  // What a program sends after its tests have passed comes too late to count either way.
  if (candidate.broken !== null && result?.verdict !== 'passed') {
    return { verdict: 'failed', failure: 'protocol', detail: candidate.broken };
  }
  return result ?? verdictOfEnd(end);
}

/** What was found by the tests' word, or null when the candidate's end decides. */
async function testResult(candidate: Candidate, tests: PythonCalls, tester: Tester): Promise<Finding | null> {
  let isUnanswered = false;
  let hasAnswered = false;
  let failure: TestResult = null;
  const check = tester.check(tests, {
    async answer(call) {
      const reply = await candidate.ask('call', call);
      isUnanswered ||= reply === null;
      hasAnswered = true;
      return reply;
    },
    onFailure(first) {
      // Without the candidate it is that it is gone which fails.
      if (!isUnanswered && candidate.broken === null) failure = first;
    },
  });
  const overdue = candidate.ended.then(() => setTimeout(graceMs, overdueMark, { ref: false }));
  try {
    const result = await Promise.race([check, overdue]);
    if (result === overdueMark) {
      tester.kill();
      await check.catch(ignoreHarnessError);
    } else if (failure === null && !isUnanswered) {
      return result === null ? passed : findingOfFailure(result);
    }
  } catch (error) {
    if (!(error instanceof HarnessError)) throw error;
    if (failure === null) throw hasAnswered ? new TestsDied(error.message) : error;
  }
  // Tests that catch everything go on without the candidate.
  return failure && findingOfFailure(failure);
}

const findingOfFailure = (result: NonNullable<TestResult>): Finding => ({
  verdict: result.failure === 'memory' ? 'memory' : 'failed',
  ...result,
});

const overdueMark = Symbol('overdue');

/** The tester was killed while it worked: that its check ends so is what was wanted. */
function ignoreHarnessError(error: unknown): void {
  if (!(error instanceof HarnessError)) throw error;
}

/** Bytes that are read of why a program did not load: an exception's name and text. */
const mostSaidBytes = 4096;

/** What the candidate said when its program did not load; null where it did. */
function loadFailure(reply: Buffer): Finding | null {
  const text = reply.toString('utf8', 1, mostSaidBytes);
  switch (String.fromCharCode(reply[0])) {
    case 'L':
      return null;
    case 'S':
      return { verdict: 'compile_error', failure: 'compile', detail: text };
    default: {
      const [name, ...message] = text.split('\n');
      const detail = `${name}: ${message.join(' ')}`;
      if (name === 'MemoryError') return { verdict: 'memory', failure: 'memory', detail };
      return { verdict: 'failed', failure: name === 'SystemExit' ? 'exited' : 'exception', detail };
    }
  }
}
