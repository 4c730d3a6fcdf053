import { readFileSync, writeFileSync } from 'node:fs';
import { findGroupParents, type GroupParents, openBoxGroup } from './control-groups.ts';
import type { Limits } from './limits.ts';
import { processorSeconds, processTree } from './process-tree.ts';
import { openTreeMemory } from './tree-memory.ts';

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
/** Part of the harness's time that looks take at most, as long as memory cannot be exceeded meanwhile. */
const lookingShare = 0.1;

/** Watches what a box uses. */
export interface BoxMeter {
  /** Takes in bubblewrap, which makes the box. */
  take(bubblewrap: number): void;
  /**
   * Takes in all that is there, before the box's program starts. Throws HarnessError where the kernel refuses
   * what it did not before.
   */
  start(): Promise<void>;
  /** Milliseconds from the start after which it should be looked at. */
  readonly firstRestMs: number;
  look(): Usage;
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

/**
 * A meter by control groups, exact, with the memory limit kept by the kernel; by /proc where there are none.
 * There, a box that may have been counted twice in parts is over its memory when two looks in a row say so.
 *
 * To enter a group takes 10 ms of waiting, unless another process has just done so. So bubblewrap enters them
 * while it makes the box, and what it started before is moved when the box waits at its gate.
 */
export function openMeter(parents: GroupParents, limits: Limits): BoxMeter {
  const tree = openTreeMemory();
  const killsBefore = kernelKills();
  const group = openBoxGroup(parents, limits.memoryBytes);
  let root: number | null = null;
  let entered = Promise.resolve();
  let usage: Usage = { memoryBytes: 0, cpuSeconds: 0, exceeded: null, restMs: longestRestMs };
  let wasOver = false;
  let lastSum = 0;
  let lostSeconds = 0;

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

  const note = (bytes: number, seconds: number, isOverMemory: boolean, restMs = longestRestMs): Usage => {
    const cpuSeconds = Math.max(usage.cpuSeconds, seconds);
    const exceeded = isOverMemory ? 'memory' : cpuSeconds > limits.cpuSeconds ? 'cpu' : null;
    const memoryBytes = Math.max(usage.memoryBytes, bytes);
    usage = { memoryBytes, cpuSeconds, exceeded: usage.exceeded ?? exceeded, restMs };
    return usage;
  };

  return {
    take(bubblewrap) {
      root = bubblewrap;
      entered = group.enter(bubblewrap);
      // Its rejection is met at the gate, which the box may never reach.
      entered.catch(() => {});
    },
    async start() {
      for (const pid of inside()) giveUpFirst(pid);
      await entered;
      group.enterAll(inside());
    },
    firstRestMs: Math.min(longestRestMs, limits.memoryBytes / fastestGrowth),
    look() {
      const started = performance.now();
      const [counted, time] = [group.memory(), group.cpuSeconds()];
      const pids = counted === null || time === null ? inside() : [];
      const { bytes, isExceeded } = counted ?? treeMemory(pids);
      const most = Math.max(longestRestMs, (performance.now() - started) / lookingShare);
      const room = counted ? most : (limits.memoryBytes - bytes) / fastestGrowth;
      const restMs = Math.max(shortestRestMs, Math.min(room, most));
      return note(bytes, time ?? treeSeconds(pids), isExceeded, restMs);
    },
    end(wasKilled) {
      const { bytes, isExceeded } = group.memory() ?? {
        bytes: 0,
        isExceeded: wasKilled && kernelKills() > killsBefore,
      };
      const seconds = group.cpuSeconds() ?? 0;
      entered.finally(() => group.remove()).catch(() => {});
      return note(bytes, seconds, isExceeded);
    },
  };
}

/** Lets the kernel, out of memory, kill this process and what it starts before any other. */
function giveUpFirst(pid: number): void {
  writeFileSync(`/proc/${pid}/oom_score_adj`, '1000');
}

/** How many processes the kernel has killed for memory, on the whole machine. */
function kernelKills(): number {
  return Number(/^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'latin1'))?.[1] ?? 0);
}
