import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

/** Processes that may have so much memory together, as in a container: a control group. */
export interface MemoryGroup {
  /** Takes in a process and all that it starts from now on. */
  add(pid: number): void;
  /** How often the kernel has killed a process of the group for memory. */
  kills(): number;
  /** Waits for its processes to end, and removes it. */
  close(): Promise<void>;
}

/**
 * A memory group of version 2 or 1 at the top of the hierarchy, with a limit in bytes; null where this user
 * may make none, or the machine has no such groups.
 */
export function openMemoryGroup(bytes: number): MemoryGroup | null {
  const unified = existsSync('/sys/fs/cgroup/cgroup.controllers');
  const top = unified ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
  const path = join(top, `flex-test-${process.pid}`);
  try {
    mkdirSync(path);
  } catch (error) {
    const refusals = ['EACCES', 'EPERM', 'EROFS', 'ENOENT'];
    if (refusals.includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
  const limits = unified ? ['memory.max'] : ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'];
  if (!existsSync(join(path, limits[0]))) {
    rmdirSync(path);
    return null;
  }
  for (const limit of limits.filter((name) => existsSync(join(path, name)))) {
    writeFileSync(join(path, limit), String(bytes));
  }
  return {
    add: (pid) => writeFileSync(join(path, 'cgroup.procs'), String(pid)),
    kills() {
      const events = readFileSync(join(path, unified ? 'memory.events' : 'memory.oom_control'), 'utf8');
      return Number(/^oom_kill (\d+)$/m.exec(events)?.[1]);
    },
    async close() {
      for (let tries = 0; tries < 50 && !removed(path); tries++) await setTimeout(100);
    },
  };
}

/** Removes a group and those below it; false while one has processes. */
function removed(path: string): boolean {
  const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  if (!below.every(({ name }) => removed(join(path, name)))) return false;
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}
