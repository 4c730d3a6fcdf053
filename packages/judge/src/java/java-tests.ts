import { oneLine } from '@flex/base';
import type { JavaCalls } from '../program.ts';
import { frame, newFrameReader } from '../protocol/frames.ts';
import { verdictOfEnd } from '../protocol/verdict-of-end.ts';
import type { Box, BoxEnd, BoxOptions } from '../sandbox/box.ts';
import { type Finding, passed } from '../verdict.ts';
import { isAsItWas } from './java-compiler.ts';
import { message, tagOf, textAt } from './java-messages.ts';
import { maxFrameBytes } from './java-processes.ts';
import type { JavaWorker } from './java-worker.ts';

/** The tests came to no end of their own; nothing was found about the program yet. */
export interface Breakdown {
  /** Which process, and its end; or what the judge cannot use. */
  readonly breakdown: string;
  /** What is said of the program where that happens again in a process that has seen no other. */
  readonly blame: Finding | null;
}

/** Seconds that the tests may go on once the candidate has ended. */
const graceSeconds = 2;

export interface TestRun {
  readonly worker: JavaWorker;
  readonly tests: JavaCalls;
  /** Opens the candidate's box. */
  readonly open: (onOutput: BoxOptions['onOutput']) => Box;
}

/**
 * Runs the tests in the worker and answers their calls from a candidate's process of its own. They go on
 * after a check has failed; the first failure is the program's, whatever follows.
 */
export async function runTests({ worker, tests, open }: TestRun): Promise<Finding | Breakdown> {
  const state: RunState = { ready: false, calls: 0, pending: false, violation: null, late: false };
  let failure: Buffer | null = null;
  const candidate = openCandidate({ worker, tests, open }, state);
  const done = new Promise<Buffer | null>((resolve) => {
    worker.ask(message('T', tests.mainClass, tests.tester), (answer) => {
      if (answer === null) return resolve(null);
      if (tagOf(answer) === 'D') return resolve(Buffer.from(answer));
      if (tagOf(answer) === 'F') {
        failure = Buffer.from(answer);
        return;
      }
      state.calls++;
      state.pending = true;
      candidate.write(frame(answer.subarray(1)));
    });
  });
  let grace: NodeJS.Timeout | undefined;
  let tested = false;
  const ended = candidate.ended.finally(() => {
    if (tested) return;
    worker.send(message('G'));
    grace = setTimeout(() => {
      state.late = true;
      worker.kill();
    }, graceSeconds * 1000);
  });
  // Its rejection is met below, after the tests.
  ended.catch(() => {});
  const word = await done;
  tested = true;
  clearTimeout(grace);
  candidate.kill();
  if (word && !isAsItWas(word)) worker.kill();
  const end = await ended;
  if (failure && kindOf(failure) !== 'g') return byWord(failure);
  const hitLimit = end.stopped !== null && end.stopped !== 'closed';
  // What a program writes after its tests have passed comes too late to count either way.
  if (word && !failure && !hitLimit) return passed;
  const found = byProcesses(state, end);
  if (found) return found;
  return word ? byEnd(end) : { breakdown: `tests: ${await worker.ended}`, blame: blameOf(state) };
}

interface RunState {
  /** The candidate's process has started. */
  ready: boolean;
  /** Calls so far. */
  calls: number;
  /** A call waits for its reply. */
  pending: boolean;
  /** What the candidate wrote that no driver writes. */
  violation: string | null;
  /** The tests went on for too long after the candidate's end. */
  late: boolean;
}

function openCandidate({ worker, open }: TestRun, state: RunState): Box {
  const reader = newFrameReader(maxFrameBytes, (payload) => {
    if (!state.ready) {
      state.ready = true;
      return;
    }
    if (!state.pending) throw new RangeError('there was no call');
    state.pending = false;
    worker.send(Buffer.concat([Buffer.from('R'), payload]));
  });
  const candidate = open((chunk) => {
    if (state.violation !== null) return;
    try {
      reader.push(chunk);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      state.violation = `wrote what is no reply: ${error.message}`;
      candidate.kill();
    }
  });
  return candidate;
}

/** What can be said whatever the tests say; null where it is for them to say. */
function byProcesses({ violation, ready, late }: RunState, end: BoxEnd): Finding | Breakdown | null {
  // Tests that call nothing may end before it has started.
  if (!ready && end.stopped === null) {
    return { breakdown: `candidate: code ${end.code}, signal ${end.signal}. ${end.stderr}`, blame: null };
  }
  if (end.stopped !== null && end.stopped !== 'closed') return verdictOfEnd(end);
  if (violation !== null) return { verdict: 'failed', failure: 'protocol', detail: violation };
  if (!late) return null;
  return { verdict: 'timeout', failure: 'timeout', detail: 'the tests did not end with what it returned' };
}

/**
 * What is said of a program where the tests' process ended while it ran: what it answered did that, or the
 * machine, so it is judged again alone. Null where it had answered nothing.
 */
function blameOf({ calls, pending }: RunState): Finding | null {
  if (calls === 0 || (calls === 1 && pending)) return null;
  const detail = "what it returned ended the tests' process";
  return { verdict: 'failed', failure: 'protocol', detail, starved: true };
}

/** How the tests failed, in a letter of the worker's. */
const kindOf = (word: Buffer) => String.fromCharCode(word[1]);

/** By what the worker says of the first failure; `Worker.java` has the letters. */
function byWord(word: Buffer): Finding | Breakdown {
  const detail = oneLine(textAt(word, 2));
  switch (kindOf(word)) {
    case 'a':
      return { verdict: 'failed', failure: 'assertion', detail };
    case 'x':
      return { verdict: 'failed', failure: 'exception', detail };
    case 'm':
    case 'f':
      return { verdict: 'memory', failure: 'memory', detail };
    case 'b':
      return { verdict: 'failed', failure: 'protocol', detail };
    default:
      return { breakdown: detail, blame: null };
  }
}

/** By how the candidate's process ended, where a call had no answer because of that. */
function byEnd(end: BoxEnd): Finding {
  return ranOutOfMemory(end)
    ? { verdict: 'memory', failure: 'memory', detail: outOfMemory }
    : verdictOfEnd(end);
}

const outOfMemory = 'java.lang.OutOfMemoryError';

/** How a JVM with ExitOnOutOfMemoryError ends. */
function ranOutOfMemory({ code, stderr }: BoxEnd): boolean {
  return code === 3 && stderr.includes(`Terminating due to ${outOfMemory}`);
}
