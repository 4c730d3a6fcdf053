import { setTimeout } from 'node:timers/promises';
import { oneLine } from '@flex/base';
import { HarnessError } from '../errors.ts';
import type { Language, Launch } from '../language.ts';
import type { BoxEnd, Sandbox } from '../sandbox/box.ts';
import { defaultLimits, type Limits } from '../sandbox/limits.ts';
import { type Failure, type Finding, passed } from '../verdict.ts';
import { type Candidate, maxFrameBytes, openCandidate } from './candidate.ts';
import { findingOfEnd } from './finding.ts';
import { frame, newFrameReader } from './frames.ts';
import { verdictOfEnd } from './verdict-of-end.ts';

/** A program and its tests as two processes, each in a box of its own. */
export interface Calls {
  readonly sandbox: Sandbox;
  /** The lane of the tests' box; the candidate's is the next. */
  readonly lane: number;
  /** What the candidate may use. */
  readonly limits: Limits;
  /** What both read, and how the candidate's last words tell why it ended. */
  readonly language: Pick<Language, 'reads' | 'signs'>;
  readonly candidate: Launch;
  /** Sent to the candidate before the first call. */
  readonly load: string;
  readonly tester: Launch;
}

/**
 * Judges a program by tests in another box, which call it through pipes: the candidate's box holds nothing of
 * the tests, and values cross as plain data. The tests go on after a failed check, and their first failure is
 * the one reported, so that what a candidate is asked depends on what it answered and never on whether that
 * was right. A pass needs the tests' word that they ran to their end without a failure, a candidate that
 * answered every call and kept to the protocol, and no limit reached.
 *
 * Throws HarnessError where the tests' process ends twice before a first answer has reached it; if it ends
 * after one, the program has failed.
 */
export async function judgeCalls(calls: Calls): Promise<Finding> {
  const first = await attempt(calls);
  const found = 'brokenTester' in first ? await attempt(calls) : first;
  if (!('brokenTester' in found)) return found;
  const { brokenTester, answers } = found;
  if (answers === 0) throw new HarnessError(`tests: ${brokenTester}`);
  return { verdict: 'failed', failure: 'exception', detail: oneLine(`tests: ${brokenTester}`) };
}

/** The tests' process ended before the tests did; nothing was found. */
interface Breakdown {
  readonly brokenTester: string;
  /** How many replies it had received. */
  readonly answers: number;
}

/** Milliseconds that tests may go on once the candidate they call is gone. */
const graceMs = 1000;

async function attempt(calls: Calls): Promise<Finding | Breakdown> {
  const tester = openTester(calls);
  try {
    return await attemptWith(tester, calls);
  } finally {
    tester.kill();
    await tester.ended;
  }
}

async function attemptWith(tester: Tester, calls: Calls): Promise<Finding | Breakdown> {
  const { sandbox, lane, limits, language, candidate: launch, load } = calls;
  const { reads, signs } = language;
  const candidate = openCandidate({ sandbox, limits, lane: lane + 1, reads, files: {}, ...launch });
  try {
    const loaded = await candidate.ask('load', load);
    const unloaded = loaded && loadFailure(loaded);
    if (unloaded) return unloaded;
    const result = loaded && (await testResult(candidate, tester));
    candidate.kill();
    const end = await candidate.ended;
    const hitLimit = end.stopped !== null && end.stopped !== 'closed';
    if (result?.failure) return result.failure;
    if (hitLimit) return verdictOfEnd(end);
    if (result?.isPass) return passed;
    if (candidate.broken !== null)
      return { verdict: 'failed', failure: 'protocol', detail: candidate.broken };
    if (result?.broken) return { brokenTester: result.broken, answers: result.answers };
    return findingOfEnd(end, signs, '');
  } finally {
    tester.kill();
    candidate.kill();
    await candidate.ended;
  }
}

/** What the tests said, and how they came to their end. */
interface TestResult {
  /** Their first failure. */
  readonly failure: Finding | null;
  /** They ended without a failure, and every call was answered. */
  readonly isPass: boolean;
  /** Their process ended before they did, and not because the candidate had. */
  readonly broken: string | null;
  readonly answers: number;
}

async function testResult(candidate: Candidate, tester: Tester): Promise<TestResult> {
  let answers = 0;
  let isUnanswered = false;
  tester.start(async (call) => {
    const reply = await candidate.ask('call', call);
    if (reply === null) isUnanswered = true;
    else answers++;
    return reply;
  });
  const overdue = candidate.ended.then(() => setTimeout(graceMs, undefined, { ref: false }));
  await Promise.race([tester.done, overdue]);
  const { failure, isDone } = tester.word;
  if (isDone || !tester.hasEnded) {
    return { failure, isPass: isDone && failure === null && !isUnanswered, broken: null, answers };
  }
  return { failure, isPass: false, broken: isUnanswered ? null : await tester.broken(), answers };
}

/** A box that runs the tests, once. */
interface Tester {
  /** Lets calls be answered; null says that the candidate is gone. */
  start(answer: (call: Buffer) => Promise<Buffer | null>): void;
  /** What it has said so far. */
  readonly word: { readonly failure: Finding | null; readonly isDone: boolean };
  /** Resolves when the tests have ended, or their box has. */
  readonly done: Promise<void>;
  readonly hasEnded: boolean;
  /** How its box ended, in words. */
  broken(): Promise<string>;
  kill(): void;
  readonly ended: Promise<BoxEnd>;
}

const testerLimits: Limits = {
  ...defaultLimits,
  wallSeconds: Infinity,
  cpuSeconds: Infinity,
  addressSpaceBytes: null,
};
const gone = frame('A');

/** Starts the tests' process. Its frames: C a call, F the first failure, D that the tests have ended. */
function openTester({ sandbox, lane, language: { reads }, tester }: Calls): Tester {
  const word = { failure: null as Finding | null, isDone: false };
  const early: Buffer[] = [];
  let take = (call: Buffer): void => void early.push(call);
  let breach: string | null = null;
  let finish = () => {};
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const reader = newFrameReader(maxFrameBytes, (payload) => {
    const content = payload.subarray(1);
    switch (String.fromCharCode(payload[0])) {
      case 'C':
        return take(content);
      case 'F':
        word.failure ??= readFailure(content);
        return;
      default:
        word.isDone = true;
        finish();
    }
  });
  const box = sandbox.open({
    ...tester,
    reads,
    lane,
    limits: testerLimits,
    onOutput(chunk) {
      try {
        if (breach === null) reader.push(chunk);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        breach = `sent ${error.message}`;
        box.kill();
      }
    },
  });
  let hasEnded = false;
  const ended = box.ended.finally(() => {
    hasEnded = true;
    finish();
  });
  ended.catch(() => {});
  return {
    start(answer) {
      take = (call) => {
        answer(call).then((reply) => box.write(reply === null ? gone : frame(reply)));
      };
      for (const call of early.splice(0)) take(call);
    },
    word,
    done,
    get hasEnded() {
      return hasEnded;
    },
    async broken() {
      const { stopped, code, stderr } = await ended;
      return breach ?? `their box ended (${stopped ?? code}): ${stderr.trim().split('\n').at(-1)}`;
    },
    kill: box.kill,
    ended,
  };
}

function readFailure(content: Buffer): Finding {
  const [failure, detail] = JSON.parse(content.toString()) as [Failure, string];
  return { verdict: failure === 'memory' ? 'memory' : 'failed', failure, detail: oneLine(detail) };
}

/** What the candidate said when its program did not load; null where it did. */
function loadFailure(reply: Buffer): Finding | null {
  const detail = oneLine(reply.toString('utf8', 1));
  switch (String.fromCharCode(reply[0])) {
    case 'L':
      return null;
    case 'S':
      return { verdict: 'compile_error', failure: 'compile', detail };
    default:
      return { verdict: 'failed', failure: 'exception', detail };
  }
}

/**
 * The command, with its channel at descriptors 3 (from the harness) and 4 (to it); its standard input is
 * empty, and what it prints goes to standard error.
 */
export const onChannel = (command: readonly string[]): readonly string[] => [
  '/bin/sh',
  '-c',
  'exec "$@" 3<&0 4>&1 </dev/null >&2',
  'sh',
  ...command,
];
