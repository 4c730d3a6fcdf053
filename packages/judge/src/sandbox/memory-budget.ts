import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { type OwnGroup, ownGroups, readOrEmpty } from './control-groups.ts';

const MiB = 2 ** 20;
/** What the harness itself may take, and beside each program the process that tests it. */
const harnessBytes = 256 * MiB;
const testerBytes = 256 * MiB;

/**
 * How many programs that hold up to `memoryBytes` each can be judged at once so that all of them and the
 * harness stay within `available` bytes: at most `lanes`, at least one.
 */
export function lanesWithin(available: number, lanes: number, memoryBytes: number): number {
  const fitting = Math.floor((available - harnessBytes) / (memoryBytes + testerBytes));
  return Math.min(lanes, Math.max(1, fitting));
}

/** Bytes of memory that this process and its children may have: the machine's, or its control groups' limit. */
export function availableMemory(): number {
  return Math.min(totalmem(), ...ownGroups().flatMap(limitsOfGroup));
}

/** The limits of a group and of all above it that can be seen; version 2 says `max` where there is none. */
export function limitsOfGroup({ version, folder, mount }: OwnGroup): number[] {
  const file = version === 1 ? 'memory.limit_in_bytes' : 'memory.max';
  const limit = Number.parseInt(readOrEmpty(join(folder, file)), 10);
  const above =
    folder === mount ? [] : limitsOfGroup({ version, folder: dirname(folder), mount, controllers: [] });
  return Number.isNaN(limit) ? above : [limit, ...above];
}
