import { oneLine } from '@flex/base';
import { HarnessError } from '../errors.ts';
import type { JavaCalls } from '../program.ts';
import { frame, newFrameReader } from '../protocol/frames.ts';
import { verdictOfEnd } from '../protocol/verdict-of-end.ts';
import type { Box, BoxEnd, BoxOptions } from '../sandbox/box.ts';
import { type Finding, passed } from '../verdict.ts';
import { message, tagOf, textAt } from './java-messages.ts';
import { maxFrameBytes } from './java-processes.ts';
import type { JavaWorker } from './java-worker.ts';

/** A process ended for no reason of the program's; nothing was found about it. */
export interface Breakdown {
  /** Which process, and its end. */
  readonly breakdown: string;
  /** Whether it was compiling; a source can bring the compiler down. */
  readonly inCompiler?: true;
}

/** Seconds that the tests may go on once the candidate has ended. */
const graceSeconds = 2;

export interface TestRun {
  readonly worker: JavaWorker;
  readonly tests: JavaCalls;
  /** Opens the candidate's box. */
  readonly open: (onOutput: BoxOptions['onOutput']) => Box;
}

/** Runs the tests in the worker and answers their calls from a candidate's process of its own. */
export async function runTests({ worker, tests, open }: TestRun): Promise<Finding | Breakdown> {
  const state: RunState = { ready: false, pending: false, violation: null, late: false };
  const candidate = openCandidate({ worker, tests, open }, state);
  const lastWord = new Promise<Buffer | null>((resolve) => {
    worker.ask(message('T', tests.mainClass, tests.tester), (answer) => {
      if (answer === null || tagOf(answer) !== 'c') return resolve(answer && Buffer.from(answer));
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
  const word = await lastWord;
  tested = true;
  clearTimeout(grace);
  candidate.kill();
  if (word && kindOf(word) === 'f') worker.kill();
  const end = await ended;
  const hitLimit = end.stopped !== null && end.stopped !== 'closed';
  // What a program writes after its tests have passed comes too late to count either way.
  if (word && kindOf(word) === 'p' && !hitLimit) return byWord(word, end);
  return (
    byProcesses(state, end) ?? (word ? byWord(word, end) : { breakdown: `tests: ${await worker.ended}` })
  );
}

interface RunState {
  /** The candidate's process has started. */
  ready: boolean;
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
    return { breakdown: `candidate: code ${end.code}, signal ${end.signal}. ${end.stderr}` };
  }
  if (end.stopped !== null && end.stopped !== 'closed') return verdictOfEnd(end);
  if (violation !== null) return { verdict: 'failed', failure: 'protocol', detail: violation };
  if (!late) return null;
  return { verdict: 'timeout', failure: 'timeout', detail: 'the tests did not end with what it returned' };
}

/** How the tests ended, in a letter of the worker's. */
const kindOf = (word: Buffer) => String.fromCharCode(word[1]);

/** By what the worker says of the tests; `Worker.java` has the letters. */
function byWord(word: Buffer, end: BoxEnd): Finding {
  const detail = oneLine(textAt(word, 2));
  switch (kindOf(word)) {
    case 'p':
      return passed;
    case 'a':
      return { verdict: 'failed', failure: 'assertion', detail };
    case 'x':
      return { verdict: 'failed', failure: 'exception', detail };
    case 'm':
    case 'f':
      return { verdict: 'memory', failure: 'memory', detail };
    case 'b':
      return { verdict: 'failed', failure: 'protocol', detail };
    case 'g':
      return ranOutOfMemory(end)
        ? { verdict: 'memory', failure: 'memory', detail: outOfMemory }
        : verdictOfEnd(end);
    default:
      throw new HarnessError(`java: ${detail}`);
  }
}

const outOfMemory = 'java.lang.OutOfMemoryError';

/** How a JVM with ExitOnOutOfMemoryError ends. */
function ranOutOfMemory({ code, stderr }: BoxEnd): boolean {
  return code === 3 && stderr.includes(`Terminating due to ${outOfMemory}`);
}
