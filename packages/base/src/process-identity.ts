import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** A process, by what another one can later tell whether it has ended. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly host: string;
  /**
   * Within which process ids and starts may be compared: this start of this machine (its boot id), and the
   * namespaces of process ids and clocks, which containers of one host name have of their own. Empty where
   * the system has no /proc.
   */
  readonly system: string;
  /** When it began, in the kernel's ticks; null where /proc does not tell. */
  readonly started: number | null;
}

export function thisProcess(): ProcessIdentity {
  const { pid } = process;
  return { pid, host: hostname(), system: thisSystem(), started: statOf(pid)?.started ?? null };
}

/**
 * Whether a process has ended; null where that cannot be told: it is on another host, on another system, or
 * in another container. A process id that another process has by now is told by its start; where /proc does
 * not tell it, by nothing, and the process counts as one that runs.
 */
export function hasEnded({ pid, host, system, started }: ProcessIdentity): boolean | null {
  if (host !== hostname() || system !== thisSystem()) return null;
  if (!isThere(pid)) return true;
  const stat = statOf(pid);
  if (stat === null || started === null) return false;
  // Z and X: it has ended, and its parent has not looked.
  return stat.started !== started || /[ZXx]/.test(stat.state);
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ESRCH') return false;
    // It is another user's.
    if (code === 'EPERM') return true;
    throw error;
  }
}

function thisSystem(): string {
  const namespaces = ['pid', 'time'].map((name) => told(() => readlinkSync(`/proc/self/ns/${name}`)));
  const boot = told(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'));
  return [boot, ...namespaces]
    .map((text) => text?.trim() ?? '')
    .join(' ')
    .trim();
}

/** State and start of a process; null where /proc does not tell, or is of another namespace. */
function statOf(pid: number): { readonly state: string; readonly started: number } | null {
  const [own, its] = ['self', pid].map((name) => told(() => readFileSync(`/proc/${name}/stat`, 'latin1')));
  if (own === null || its === null || Number.parseInt(own, 10) !== process.pid) return null;
  // The second field is the program's name in parentheses, and may hold anything.
  const [state, ...fields] = its.slice(its.lastIndexOf(')') + 2).split(' ');
  return { state, started: Number(fields[18]) };
}

/** What /proc tells; null where there is no such file, or none for this user. */
function told(read: () => string): string | null {
  try {
    return read();
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code)) return null;
    throw error;
  }
}
