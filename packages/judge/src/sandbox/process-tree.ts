import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** A process and all its descendants, by /proc; those that end meanwhile may be among them. */
export function processTree(root: number): number[] {
  const pids = [root];
  // Grows while it is walked.
  for (const pid of pids) pids.push(...childrenOf(pid));
  return pids;
}

/** The children of every thread of a process; none where it has ended. */
export function childrenOf(pid: number): number[] {
  return threadsOf(pid).flatMap((thread) =>
    readUnlessEnded(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  );
}

/** The threads of a process, its first one among them even where that has ended; none where all have. */
export function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch (error) {
    if (hasEnded(error)) return [];
    throw error;
  }
}

let ticks: number | null = null;

/**
 * User and system seconds of these processes, those of descendants that have been waited for included. Not
 * those of children that nobody waits for: SIGCHLD ignored, they take their time with them.
 */
export function processorSeconds(pids: readonly number[]): number {
  ticks ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  let time = 0;
  for (const pid of pids) {
    const stat = readUnlessEnded(`/proc/${pid}/stat`);
    if (stat === '') continue;
    // The name, in parentheses, may hold anything: fields are counted from the last one. Field 3 comes first.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    for (const field of [14, 15, 16, 17]) time += Number(fields[field - 3]);
  }
  return time / ticks;
}

/** The user ids, as the machine numbers them, of the descendants of a process whose name this is. */
export function userIdsOf(root: number, name: string): number[] {
  return processTree(root)
    .map((pid) => readUnlessEnded(`/proc/${pid}/status`))
    .filter((status) => status.startsWith(`Name:\t${name}\n`))
    .map((status) => Number(/^Uid:\t(\d+)/m.exec(status)?.[1]));
}

/** A thread of a process that has memory, with its status; null where all have ended, or are about to. */
export function livingThread(pid: number): { thread: string; status: string } | null {
  for (const thread of threadsOf(pid)) {
    const status = readUnlessEnded(`/proc/${pid}/task/${thread}/status`);
    if (status.includes('\nVmSize:')) return { thread, status };
  }
  return null;
}

/** A file of /proc; empty where its process has ended. */
export function readUnlessEnded(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (hasEnded(error)) return '';
    throw error;
  }
}

/** ENOENT before and ESRCH while reading: the process is gone. */
export const hasEnded = (error: unknown): boolean =>
  ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '');
