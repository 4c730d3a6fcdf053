import { readFileSync, writeFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { HarnessError } from '../errors.ts';
import {
  type BoxGroup,
  findGroupParents,
  type GroupParents,
  killsInGroups,
  openBoxGroup,
} from './control-groups.ts';
import type { Limits } from './limits.ts';
import { processorSeconds, processTree } from './process-tree.ts';
import { isCountable, openTreeMemory } from './tree-memory.ts';

/** What a box's processes hold and have used. */
export interface Usage {
  /** The most memory seen at once. */
  readonly memoryBytes: number;
  /** User and system seconds of all its processes. */
  readonly cpuSeconds: number;
  /** The first limit that was exceeded. */
  readonly exceeded: 'memory' | 'cpu' | null;
  /** Milliseconds after which it should be looked at again. */
  readonly restMs: number;
}

/** The rest between two looks, and the least of it where memory may soon be exceeded. */
const longestRestMs = 50;
const shortestRestMs = 5;
/** Bytes a millisecond as which memory may grow at most: two processors that touch large pages. */
const fastestGrowth = 8e6;
/** What a group must be able to hold that a box enters which is near its limit. */
const leastGroupBytes = 16e6;
/** How many processes enter at once, while the harness waits: 10 ms each where the machine is busy. */
const enteringAtOnce = 8;
/** Part of the harness's time that looks take at most, as long as memory cannot be exceeded meanwhile. */
const lookingShare = 0.1;

/** Watches what a box uses. */
export interface BoxMeter {
  /** Takes in the processes below bubblewrap's, before the box's program starts. */
  start(bubblewrap: number): Promise<void>;
  /** Throws HarnessError where the kernel refuses what it did not before. */
  look(): Usage;
  /** Milliseconds from the start after which it should be looked at. */
  readonly firstRestMs: number;
  /** A last look, when all processes of the box are gone; whether a SIGKILL not of ours has ended it. */
  end(wasKilled: boolean): Usage;
}

/** How boxes are counted on this machine: what has no control group is added up from /proc. */
export interface Accounting {
  readonly memory: 'cgroup' | 'proc';
  readonly time: 'cgroup' | 'proc';
}

let machine: GroupParents | null = null;

/** The machine's, found once a process. */
export function groupParents(): GroupParents {
  machine ??= findGroupParents();
  return machine;
}

export function accountingOf({ memory, time }: GroupParents): Accounting {
  return { memory: memory ? 'cgroup' : 'proc', time: time ? 'cgroup' : 'proc' };
}

/** Whether /proc shows what boxes hold, found with the first. */
let procShows: boolean | null = null;

/**
 * A meter by control groups, exact, with the memory limit kept by the kernel; by /proc where there are none.
 * There, a box that may have been counted twice in parts is over its memory when two looks in a row say so.
 *
 * To enter a group takes 10 ms of waiting, and most programs end within 30. So a box is counted by /proc
 * until its first look, 50 ms after its start, and enters its groups then; what it holds beside them once it
 * is in, at most as /proc can tell, stays counted against its limit. A process that is found outside later,
 * since it hid while the others entered, has all of the box counted by /proc until it is in as well. Where
 * /proc hides a box, it starts in its groups.
 */
export function openMeter(parents: GroupParents, limits: Limits): BoxMeter {
  const tree = openTreeMemory();
  const killsBefore = killsOutside();
  let root: number | null = null;
  let usage: Usage = { memoryBytes: 0, cpuSeconds: 0, exceeded: null, restMs: longestRestMs };
  let wasOver = false;
  let lastSum = 0;
  let lostSeconds = 0;
  let entry: GroupEntry | null = null;
  let hasEnded = false;

  const inside = () => (root === null ? [] : processTree(root).slice(1));

  /** What falls out of the sum has been used by children that nobody waited for. */
  const treeSeconds = (pids: readonly number[]) => {
    let total = processorSeconds(pids);
    // A child may have been waited for between looking at its parent and at itself.
    if (total < lastSum) total = Math.max(total, processorSeconds(inside()));
    lostSeconds += Math.max(0, lastSum - total);
    lastSum = total;
    return total + lostSeconds;
  };
  const treeMemory = (pids: readonly number[]) => {
    const { bytes, isSure } = tree.count(pids, limits.memoryBytes);
    const isOver = bytes > limits.memoryBytes;
    const isExceeded = isOver && (isSure || wasOver);
    wasOver = isOver;
    return { bytes, isExceeded };
  };

  function enterGroups(bytes: number, seconds: number): GroupEntry {
    const group = openBoxGroup(parents, limits.memoryBytes);
    const made: GroupEntry = {
      ...{ group, bytes, seconds, state: 'moving', hasBeenIn: false, isOver: false, failure: null },
      moved: Promise.resolve(),
    };
    made.moved = moveAll(made);
    return made;
  }

  async function moveAll(made: GroupEntry): Promise<void> {
    const { group } = made;
    made.state = 'moving';
    const known = new Set<number>();
    const unknown = () => inside().filter((pid) => !known.has(pid));
    try {
      for (const pid of inside().slice(0, 1)) await group.enter(pid);
      // What a process starts while it is moved may be left outside.
      for (let pids = unknown(); pids.length > 0 && !hasEnded; pids = unknown()) {
        const next = pids.slice(0, enteringAtOnce);
        group.enterAll(next);
        for (const pid of next) known.add(pid);
        await setImmediate();
      }
      // What starts in its groups holds nothing beside them.
      if (parents.memory && procShows) chargeOutside(made);
      made.state = 'in';
      made.hasBeenIn = true;
    } catch (error) {
      made.state = 'failed';
      made.failure = error as HarnessError;
    }
    if (hasEnded) group.remove();
  }

  /** Charges a box with what it holds that its group does not count, since it got it before it was in. */
  function chargeOutside(made: GroupEntry): void {
    const counted = made.group.memory()?.heldBytes ?? 0;
    const count = () => tree.count(inside(), limits.memoryBytes, true);
    const first = count();
    // Pages that are shared out between two readings count twice in one look, hardly in two.
    const { bytes, isSure } = first.bytes > limits.memoryBytes ? count() : first;
    const isOver = bytes > limits.memoryBytes;
    made.isOver = isOver && isSure;
    // What was found before stays counted: a limit is lowered only.
    if (isSure || !isOver) made.bytes = Math.max(made.hasBeenIn ? made.bytes : 0, bytes - counted);
    made.isOver ||= !made.group.limit(Math.max(limits.memoryBytes - made.bytes, leastGroupBytes));
  }

  /** What the groups count, and what was counted before. */
  const countedBy = ({ group, bytes, seconds, isOver }: GroupEntry) => {
    const [memory, time] = [group.memory(), group.cpuSeconds()];
    return {
      memory: memory && { isExceeded: memory.kills > 0 || isOver, bytes: bytes + memory.bytes },
      seconds: time === null ? null : seconds + time,
    };
  };

  const note = (bytes: number, seconds: number, isOverMemory: boolean, restMs = longestRestMs): Usage => {
    const cpuSeconds = Math.max(usage.cpuSeconds, seconds);
    const exceeded = isOverMemory ? 'memory' : cpuSeconds > limits.cpuSeconds ? 'cpu' : null;
    const memoryBytes = Math.max(usage.memoryBytes, bytes);
    usage = { memoryBytes, cpuSeconds, exceeded: usage.exceeded ?? exceeded, restMs };
    return usage;
  };

  return {
    async start(bubblewrap) {
      root = bubblewrap;
      const pids = inside();
      for (const pid of pids) giveUpFirst(pid);
      procShows ??= isCountable(pids);
      if (procShows || parents.memory === null) return;
      entry = enterGroups(0, 0);
      await entry.moved;
      if (entry.failure) throw entry.failure;
    },
    firstRestMs: Math.min(longestRestMs, limits.memoryBytes / fastestGrowth),
    look() {
      if (entry?.failure) throw entry.failure;
      const started = performance.now();
      const pids = inside();
      if (procShows && entry?.state === 'in' && entry.group.outside(pids).length > 0)
        entry.moved = moveAll(entry);
      const byGroup = entry?.state === 'in' ? countedBy(entry) : null;
      const [memory, time] = [byGroup?.memory ?? null, byGroup?.seconds ?? null];
      const { bytes, isExceeded } = memory ?? treeMemory(pids);
      const seconds = time ?? treeSeconds(pids);
      // What may hold too much is looked at again first: a group would not know what it holds already.
      if (entry === null && bytes <= limits.memoryBytes && (parents.memory ?? parents.time))
        entry = enterGroups(bytes, seconds);
      const most = Math.max(longestRestMs, (performance.now() - started) / lookingShare);
      const room = memory ? most : (limits.memoryBytes - bytes) / fastestGrowth;
      const restMs = Math.max(shortestRestMs, Math.min(room, most));
      return note(bytes, seconds, isExceeded, restMs);
    },
    end(wasKilled) {
      hasEnded = true;
      const byGroup = entry?.hasBeenIn ? countedBy(entry) : null;
      const { bytes, isExceeded } = byGroup?.memory ?? {
        bytes: 0,
        isExceeded: (entry?.group.memory()?.kills ?? 0) > 0 || (wasKilled && killsOutside() > killsBefore),
      };
      if (entry && entry.state !== 'moving') entry.group.remove();
      return note(bytes, byGroup?.seconds ?? 0, isExceeded);
    },
  };
}

/** A box's groups. */
interface GroupEntry {
  readonly group: BoxGroup;
  /** What it holds beside them; until it is in, all that it held when it began to enter. */
  bytes: number;
  /** What it had used when it began to enter. */
  readonly seconds: number;
  /** It held too much when it was in. */
  isOver: boolean;
  /** Resolves when all of it is in, has ended, or could not be moved. */
  moved: Promise<void>;
  state: 'moving' | 'in' | 'failed';
  hasBeenIn: boolean;
  failure: HarnessError | null;
}

/** Lets the kernel, out of memory, kill this process and what it starts before any other. */
function giveUpFirst(pid: number): void {
  writeFileSync(`/proc/${pid}/oom_score_adj`, '1000');
}

/**
 * How many processes the kernel has killed for memory on the whole machine, but for those in boxes' own
 * groups: no box is said to have been killed because another was.
 */
function killsOutside(): number {
  const kills = Number(/^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'latin1'))?.[1] ?? 0);
  return kills - killsInGroups();
}
