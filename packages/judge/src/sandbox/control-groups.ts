import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HarnessError } from '../errors.ts';
import { hasEnded, livingThread, processTree, readUnlessEnded } from './process-tree.ts';

/** A control group of the kernel's, below which groups can be made. */
export interface GroupParent {
  readonly version: 1 | 2;
  readonly folder: string;
}

/** Where a box can have a group of its own, by what the group counts; null where it cannot. */
export interface GroupParents {
  readonly memory: GroupParent | null;
  readonly time: GroupParent | null;
}

export interface GroupMemory {
  readonly bytes: number;
  readonly heldBytes: number;
  readonly kills: number;
}

/** The control groups of one box. */
export interface BoxGroup {
  /**
   * Moves a process in, what it holds left behind; what it starts from then on is in it too. May wait for the
   * kernel, some 10 ms.
   */
  enter(pid: number): Promise<void>;
  /** Moves in those of these processes that are not, at once where another has just entered. */
  enterAll(pids: readonly number[]): void;
  /** Those of these that are not in it and have not ended; one that just starts may be among them. */
  outside(pids: readonly number[]): number[];
  /** Lowers what it may hold; false where it holds more already. */
  limit(memoryBytes: number): boolean;
  /**
   * The most memory held at once, what is held now, and how many processes the kernel has killed for more;
   * null where it is not counted.
   */
  memory(): GroupMemory | null;
  /** Processor seconds of all processes there ever were; null where they are not counted. */
  cpuSeconds(): number | null;
  /** To be called when its processes are gone. */
  remove(): void;
}

const prefix = 'flex-';
const ownPrefix = `${prefix}${process.pid}-`;

/**
 * Where this process may make groups: memory in its own group of version 1 or 2, in version 2 also beside its
 * own group where that has no limit; time in version 2, where no controller is needed, or 1. Groups that a
 * killed harness left are removed.
 */
export function findGroupParents(): GroupParents {
  const own = ownGroups();
  const memory = [
    ...own.filter(({ version, controllers }) => version === 1 && controllers.includes('memory')),
    ...own.filter(({ version }) => version === 2).flatMap(withMemory),
  ];
  const time = [
    ...memory.filter(({ version }) => version === 2),
    ...own.filter(({ version }) => version === 2),
    ...own.filter(({ controllers }) => controllers.includes('cpuacct')),
  ];
  const found = { memory: memory.find(takesProcesses) ?? null, time: time.find(takesProcesses) ?? null };
  for (const parent of Object.values(found)) if (parent) removeLeftGroups(parent.folder);
  return found;
}

/** A mounted hierarchy, with this process's own group in it. */
export interface OwnGroup extends GroupParent {
  readonly mount: string;
  readonly controllers: readonly string[];
}

/** The groups of this process that it can see. */
export function ownGroups(): OwnGroup[] {
  const [cgroup, mountinfo] = ['cgroup', 'mountinfo'].map((name) =>
    readFileSync(`/proc/self/${name}`, 'utf8'),
  );
  return groupsOf(cgroup, mountinfo);
}

/** The groups that /proc/PID/cgroup names, where /proc/PID/mountinfo says that they can be seen. */
export function groupsOf(cgroup: string, mountinfo: string): OwnGroup[] {
  const lines = cgroup.trim().split('\n');
  const paths = lines.map((line) => /^\d+:([^:]*):(.*)$/.exec(line) ?? ['', '', '']);
  return mountinfo.split('\n').flatMap((line) => {
    const [before, after = ''] = line.split(' - ');
    const [, , , root, mount] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    const controllers = type === 'cgroup' ? options.split(',') : [];
    const path = paths.find(([, names]) =>
      type === 'cgroup2' ? names === '' : names.split(',').some((name) => name && controllers.includes(name)),
    )?.[2];
    if (path === undefined || path.startsWith('/..')) return [];
    const below = root === '/' ? path : path.slice(root.length);
    if (!`${path}/`.startsWith(root === '/' ? '/' : `${root}/`)) return [];
    const folder = join(mount, below).replace(/\/$/, '');
    return [{ version: type === 'cgroup' ? 1 : 2, folder, mount, controllers } as const];
  });
}

/**
 * Groups of version 2 whose children can have the memory controller: this process's own, once nobody else is
 * in it, or its parent, where no limit of the own group would be left behind.
 */
export function withMemory({ folder, mount }: OwnGroup): GroupParent[] {
  const has = (where: string, file: string, word: string) =>
    readOrEmpty(join(where, file)).trim().split(/\s+/).includes(word);
  if (!has(folder, 'cgroup.controllers', 'memory')) return [];
  const beside = folder === mount ? folder : dirname(folder);
  if (has(folder, 'cgroup.subtree_control', 'memory') || giveMemory(folder)) return [{ version: 2, folder }];
  const isUnlimited = readOrEmpty(join(folder, 'memory.max')).trim() === 'max';
  return isUnlimited && has(beside, 'cgroup.subtree_control', 'memory')
    ? [{ version: 2, folder: beside }]
    : [];
}

/**
 * Gives a group's children the memory controller. Processes may be only in its leaves then: where none but
 * this one and its children are in the group, they move to a leaf.
 */
function giveMemory(folder: string): boolean {
  const inside = readOrEmpty(join(folder, 'cgroup.procs')).trim().split('\n').map(Number);
  const ours = new Set(processTree(process.pid));
  const isRoot = !existsSync(join(folder, 'cgroup.type'));
  if (!isRoot && !inside.every((pid) => ours.has(pid))) return false;
  return succeeds(() => {
    if (!isRoot) {
      const leaf = join(folder, `${prefix}harness`);
      mkdirSync(leaf, { recursive: true });
      for (const pid of inside) writeFileSync(join(leaf, 'cgroup.procs'), String(pid));
    }
    writeFileSync(join(folder, 'cgroup.subtree_control'), '+memory');
  });
}

/** Whether a group can be made there that this process may move others into. */
function takesProcesses({ folder }: GroupParent): boolean {
  const trial = join(folder, `${ownPrefix}trial`);
  return succeeds(() => {
    accessSync(join(folder, 'cgroup.procs'), constants.W_OK);
    mkdirSync(trial);
    accessSync(join(trial, 'cgroup.procs'), constants.W_OK);
    rmdirSync(trial);
  });
}

/** Groups of harnesses that are gone; none has a process any more, since boxes die with their harness. */
function removeLeftGroups(folder: string): void {
  for (const name of readdirSync(folder)) {
    const harness = /^flex-(\d+)-/.exec(name)?.[1];
    if (harness && !existsSync(`/proc/${harness}`)) succeeds(() => rmdirSync(join(folder, name)));
  }
}

let groups = 0;
/** Memory groups of boxes, and how many processes the kernel killed in those that are there no more. */
const memoryGroups = new Set<GroupParent>();
let killsInEnded = 0;

/** How many processes the kernel has ever killed in boxes' memory groups. */
export function killsInGroups(): number {
  return [...memoryGroups].reduce((kills, group) => kills + memoryOf(group).kills, killsInEnded);
}

/** Groups of boxes that have ended, whose last process may still be ending. */
const ended = new Set<string>();

function removeEnded(): void {
  for (const folder of ended) if (isRemoved(folder)) ended.delete(folder);
  if (ended.size > 0) setTimeout(removeEnded, 20).unref();
}
process.once('exit', removeEnded);

/**
 * Makes the groups of a box that may hold `memoryBytes`, swap included; beyond, the kernel kills in it.
 * Throws HarnessError where the kernel refuses, which it did not before.
 */
export function openBoxGroup({ memory, time }: GroupParents, memoryBytes: number): BoxGroup {
  const name = `${ownPrefix}${groups++}`;
  const within = (parent: GroupParent | null) => parent && { ...parent, folder: join(parent.folder, name) };
  const [memoryGroup, timeGroup] = [within(memory), within(time)];
  const folders = [...new Set([memoryGroup, timeGroup].flatMap((group) => group?.folder ?? []))];
  orHarnessError(() => {
    for (const folder of folders) mkdirSync(folder);
    if (memoryGroup) limitMemory(memoryGroup, memoryBytes);
  });
  if (memoryGroup) memoryGroups.add(memoryGroup);
  return {
    async enter(pid) {
      for (const folder of folders) {
        await writeFile(membersOf(folder), String(pid)).catch(unlessEnded);
      }
    },
    enterAll(pids) {
      for (const folder of folders) {
        for (const pid of missingIn(folder, pids)) moveInto(folder, pid);
      }
    },
    outside: (pids) => {
      const missing = new Set(folders.flatMap((folder) => missingIn(folder, pids)));
      // A process whose first thread has ended is no member of its own, its threads are.
      const isMember = (pid: number, thread: string) =>
        readUnlessEnded(`/proc/${pid}/task/${thread}/cgroup`)
          .split('\n')
          .filter((line) => line.endsWith(`/${name}`)).length >= folders.length;
      return [...missing].filter((pid) => {
        const living = livingThread(pid);
        return living !== null && !isMember(pid, living.thread);
      });
    },
    limit(bytes) {
      try {
        if (memoryGroup) limitMemory(memoryGroup, bytes);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw groupError(error);
        return false;
      }
    },
    memory: () => memoryGroup && memoryOf(memoryGroup),
    cpuSeconds: () => timeGroup && cpuSecondsOf(timeGroup),
    remove() {
      if (memoryGroup && memoryGroups.delete(memoryGroup)) killsInEnded += memoryOf(memoryGroup).kills;
      for (const folder of folders) ended.add(folder);
      removeEnded();
    },
  };
}

const membersOf = (folder: string) => join(folder, 'cgroup.procs');

function missingIn(folder: string, pids: readonly number[]): number[] {
  const inside = new Set(readFileSync(membersOf(folder), 'latin1').split('\n').map(Number));
  return pids.filter((pid) => !inside.has(pid));
}

function moveInto(folder: string, pid: number): void {
  try {
    writeFileSync(membersOf(folder), String(pid));
  } catch (error) {
    unlessEnded(error);
  }
}

/** A process that has ended, or a group that was removed with its box, is no failure. */
function unlessEnded(error: unknown): void {
  if (!hasEnded(error)) throw groupError(error);
}

function limitMemory({ version, folder }: GroupParent, bytes: number): void {
  const set = (file: string, value: string | number) => writeFileSync(join(folder, file), String(value));
  const setIfThere = (file: string, value: string | number) => {
    if (existsSync(join(folder, file))) set(file, value);
  };
  if (version === 2) {
    set('memory.max', bytes);
    setIfThere('memory.swap.max', 0);
    set('memory.oom.group', 1);
  } else {
    set('memory.limit_in_bytes', bytes);
    setIfThere('memory.memsw.limit_in_bytes', bytes);
    set('memory.swappiness', 0);
  }
}

function memoryOf({ version, folder }: GroupParent): GroupMemory {
  const read = (file: string) => readFileSync(join(folder, file), 'latin1');
  const [peak, held, events] =
    version === 2
      ? ['memory.peak', 'memory.current', 'memory.events']
      : ['memory.max_usage_in_bytes', 'memory.usage_in_bytes', 'memory.oom_control'];
  const heldBytes = Number(read(held));
  // Older kernels of version 2 keep no peak.
  const bytes = Number(readOrEmpty(join(folder, peak)) || heldBytes);
  return { bytes, heldBytes, kills: Number(/^oom_kill (\d+)$/m.exec(read(events))?.[1] ?? 0) };
}

function cpuSecondsOf({ version, folder }: GroupParent): number {
  if (version === 1) return Number(readFileSync(join(folder, 'cpuacct.usage'), 'latin1')) / 1e9;
  const stat = readFileSync(join(folder, 'cpu.stat'), 'latin1');
  return Number(/^usage_usec (\d+)/m.exec(stat)?.[1]) / 1e6;
}

/** False while the kernel still has something to do with it. */
function isRemoved(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY') return false;
    throw error;
  }
}

function orHarnessError(make: () => void): void {
  try {
    make();
  } catch (error) {
    throw groupError(error);
  }
}

const groupError = (error: unknown) =>
  new HarnessError(`sandbox: a box could have no control group: ${(error as Error).message}`);

/** Whether the system lets it happen: what it refuses is not there to use. */
function succeeds(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    return false;
  }
}

/** A file of a hierarchy; empty where a group has no such file. */
export function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return '';
  }
}
