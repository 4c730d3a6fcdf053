import type { Command } from 'commander';
import { exitCode } from './failure.ts';

/** Why a command ends before it is done, and its exit code then. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly exitCode: number;

  constructor(reason: string, exitCode: number) {
    super(reason);
    this.exitCode = exitCode;
  }
}

/**
 * The signals that ask a command to end, and its exit codes: 128 + the signal's number, as shells have it.
 */
const signals = { SIGINT: exitCode.interrupted, SIGTERM: 143, SIGHUP: 129 } as const;
type Asking = keyof typeof signals;

/**
 * What an output that cannot be written to any more means: a reader that is gone, a terminal that is gone.
 */
const closed: Readonly<Record<string, number>> = { EPIPE: 141, EIO: signals.SIGHUP };

/** Whether an exit code is that of a command that was asked to end. */
export function endedByRequest(code: number | null): boolean {
  return (Object.values(signals) as (number | null)[]).includes(code);
}

/**
 * Milliseconds within which a signal is no second one: npm and others pass on what their child got as well.
 */
const echo = 200;

/** Takes what ends the command: with nothing to save, it ends at once. */
let end: (reason: Interrupted) => void = (reason) => process.exit(reason.exitCode);
let isWatching = false;

/**
 * Lets an output that was closed end this process as a signal would, and not with a stack trace: exit code
 * 141 for a pipe whose reader is gone, as SIGPIPE has it, 129 for a terminal, and 1, with a line, for a full
 * disk. So does the end of the study that this process belongs to: that lets go of it, or was killed.
 */
export function watchOutput(): void {
  if (isWatching) return;
  isWatching = true;
  watchStudy();
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].on('error', ({ code = '', message }: NodeJS.ErrnoException) => {
      const reason = new Interrupted(`${name}: ${message}`, closed[code] ?? exitCode.failed);
      const isTold = name === 'stdout' && reason.exitCode === exitCode.failed;
      if (isTold) process.stderr.write(`flex: ${reason.message}\n`);
      end(reason);
    });
  }
}

/** A study has a channel to each of its processes, over which nothing is said. */
function watchStudy(): void {
  const letGo = () => end(new Interrupted('the study has ended', signals.SIGTERM));
  if (process.connected === false) letGo();
  else process.once('disconnect', letGo);
}

/**
 * Does work that can end early with everything saved. SIGINT, SIGTERM, SIGHUP or a closed output aborts its
 * signal, once, whose reason is `Interrupted`, and gives the command its exit code. A second SIGINT or
 * SIGTERM ends the process.
 */
export async function interruptible<T>(
  command: Command,
  progress: { stop(): void },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const interrupt = new AbortController();
  let asked = 0;
  const ask = (reason: Interrupted) => {
    if (interrupt.signal.aborted) return;
    asked = performance.now();
    command.setOptionValue('exitCode', reason.exitCode);
    interrupt.abort(reason);
  };
  const onSignal = (name: NodeJS.Signals) => {
    const code = signals[name as Asking];
    // A terminal that closes tells the process, and so does its shell.
    const isSecond = interrupt.signal.aborted && performance.now() - asked > echo && name !== 'SIGHUP';
    if (!isSecond) return ask(new Interrupted(name, code));
    progress.stop();
    process.exit(code);
  };
  const names = Object.keys(signals) as Asking[];
  for (const name of names) process.on(name, onSignal);
  const before = end;
  end = ask;
  try {
    return await work(interrupt.signal);
  } finally {
    end = before;
    progress.stop();
    for (const name of names) process.off(name, onSignal);
  }
}
