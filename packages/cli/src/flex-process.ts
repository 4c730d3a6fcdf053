import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Failure } from './failure.ts';

const flex = join(import.meta.dirname, '..', 'bin', 'flex.mjs');

/** How a command ended that was run in a process of its own. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it told of an error; null where it met none, or was killed. */
  readonly failure: Failure | null;
}

export interface ProcessOptions {
  /** Aborted: the process ends as it does by SIGTERM, with everything saved. */
  readonly signal: AbortSignal;
  /** An open file that its standard error goes to. */
  readonly log: number | 'ignore';
  /** Is given each object that it prints. */
  readonly onLine?: (line: unknown) => void;
}

const failureLine = z.object({
  error: z.object({ message: z.string(), kind: z.string(), exit_code: z.int() }),
});

/**
 * Runs a command of flex with --json in a process of its own, which ends as by SIGTERM when this one does,
 * however that is. Rejects where no process can be made.
 */
export async function flexProcess(
  args: readonly string[],
  { signal, log, onLine = () => {} }: ProcessOptions,
): Promise<ProcessEnd> {
  const stdio = ['ignore', 'pipe', log, 'ipc'] as const;
  const child = spawn(process.execPath, [flex, ...args, '--json'], { stdio: [...stdio] });
  // Unlike a second SIGTERM, letting go twice ends nothing at once.
  const letGo = () => child.connected && child.disconnect();
  let failure: Failure | null = null;
  const lines = createInterface({ input: child.stdout! });
  const allRead = once(lines, 'close');
  lines.on('line', (text) => {
    const line = jsonIn(text);
    const told = failureLine.safeParse(line);
    if (told.success) failure = told.data.error as Failure;
    else onLine(line);
  });
  signal.addEventListener('abort', letGo, { once: true });
  if (signal.aborted) letGo();
  try {
    // Node tells of no `close` of a child that was let go.
    const [code, ended] = await once(child, 'exit');
    await allRead;
    return { code, signal: ended, failure };
  } finally {
    signal.removeEventListener('abort', letGo);
  }
}

/** The value of a line of JSON; null for what is none: half a line, or what a part of one's own printed. */
function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
