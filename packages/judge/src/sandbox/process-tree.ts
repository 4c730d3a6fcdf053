import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** What a process and all its descendants hold and have used. */
export interface TreeUsage {
  readonly residentBytes: number;
  /** User and system seconds, those of descendants that have been waited for included. */
  readonly cpuSeconds: number;
  readonly processes: number;
}

let units: { pageBytes: number; ticks: number } | null = null;

function systemUnits(): { pageBytes: number; ticks: number } {
  const ask = (name: string) => Number(execFileSync('getconf', [name], { encoding: 'utf8' }));
  units ??= { pageBytes: ask('PAGESIZE'), ticks: ask('CLK_TCK') };
  return units;
}

/**
 * Walks the descendants of a process through /proc. Processes that end meanwhile count as far as they were
 * read. Pages shared by several processes count once for each.
 */
export function treeUsage(root: number): TreeUsage {
  const { pageBytes, ticks } = systemUnits();
  let pages = 0;
  let time = 0;
  let processes = 0;
  for (const pid of tree(root)) {
    const stat = readOrEmpty(`/proc/${pid}/stat`);
    if (stat === '') continue;
    processes++;
    // The name, in parentheses, may hold anything: fields are counted from the last one. Field 3 comes first.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    for (const field of [14, 15, 16, 17]) time += Number(fields[field - 3]);
    pages += Number(fields[24 - 3]);
  }
  return { residentBytes: pages * pageBytes, cpuSeconds: time / ticks, processes };
}

/** The user ids, as the machine numbers them, of the descendants of a process whose name this is. */
export function userIdsOf(root: number, name: string): number[] {
  return [...tree(root)]
    .map((pid) => readOrEmpty(`/proc/${pid}/status`))
    .filter((status) => status.startsWith(`Name:\t${name}\n`))
    .map((status) => Number(/^Uid:\t(\d+)/m.exec(status)?.[1]));
}

/** A process and its descendants. */
function* tree(root: number): Generator<number> {
  const open = [root];
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    yield pid;
    open.push(...childrenOf(pid));
  }
}

/** The children of every thread of a process; none where it has ended. */
export function childrenOf(pid: number): number[] {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch (error) {
    if (hasEnded(error)) return [];
    throw error;
  }
  return threads.flatMap((thread) =>
    readOrEmpty(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  );
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (hasEnded(error)) return '';
    throw error;
  }
}

/** ENOENT before and ESRCH while reading: the process is gone. */
const hasEnded = (error: unknown) =>
  ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '');
