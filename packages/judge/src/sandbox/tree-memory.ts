import { closeSync, openSync, readdirSync, readFileSync, readSync, statfsSync } from 'node:fs';
import { hasEnded, livingThread, readUnlessEnded } from './process-tree.ts';

const KiB = 1024;
/** A thread's stack in the kernel. */
const kernelStackBytes = 16 * KiB;
/**
 * What the kernel keeps of a mapping, more of it for each process above that may share its pages, and of a
 * file of a tmpfs besides its contents; rounded up.
 */
const mappingBytes = 512;
const chainBytes = 64;
const inodeBytes = 1.5 * KiB;
/**
 * Least that the kernel gives a pipe, once its user has a thousand of them, and what it keeps of an open
 * file.
 */
const openFileBytes = 10 * KiB;
const pageBytes = 4 * KiB;
/** Text of /proc/PID/maps that is read, some 3000 mappings, and of /proc/PID/net/unix. */
const mapsBytes = 256 * KiB;
const socketsBytes = 1024 * KiB;
/** Type of a datagram socket in /proc/PID/net/unix. */
const datagram = '0002';

/** Counts the memory of one box's processes, by /proc; it remembers what it has seen. */
export interface TreeMemory {
  /**
   * What these processes hold, all of a box but never bubblewrap outside, beside a limit in bytes; where it
   * is to be exact, pages that forks share count once also within the limit.
   */
  count(pids: readonly number[], limit: number, isExact?: boolean): MemoryCount;
}

/**
 * Bytes that processes hold: pages, swapped out or not; page tables, mappings and kernel stacks; shared
 * anonymous maps, at their mapped size; files of /tmp and /dev/shm; open files, each as if it were a pipe;
 * sockets, at their full buffers. Infinity
 * where the system hides something of it. At least what they hold where that is within the limit, since pages
 * that forks share count for each; else each page is shared out among those who hold it (PSS).
 *
 * What it cannot see: 64 MiB in the first thousand pipes of a user, what epolls watch, and pages of a shared
 * anonymous map that was cut between two looks.
 */
export interface MemoryCount {
  readonly bytes: number;
  /**
   * Whether that counts nothing twice; a process that is just starting another (vfork) shows its pages as
   * both's.
   */
  readonly isSure: boolean;
}

export function openTreeMemory(): TreeMemory {
  /** Of each shared anonymous map, by inode, the furthest byte that was seen mapped. */
  let extents = new Map<string, number>();

  function count(pids: readonly number[], limit: number, isExact: boolean): MemoryCount {
    const processes = pids.map(processMemory).filter((memory) => memory !== null);
    const first = processes[0]?.pid;
    if (first === undefined) return { bytes: 0, isSure: true };
    let fixed = filesBytes(first) + socketBytes(first) + sum(processes.map((one) => one.kernelBytes));
    fixed += openFileBytes * sum(processes.map(openFiles));
    // Nothing is mapped beyond the address space: where all of that is allowed, no map need be looked at.
    const generations = generationsOf(processes);
    const reach = ({ pid, addressBytes }: ProcessMemory) =>
      addressBytes * (1 + (chainBytes * (generations.get(pid) ?? 0)) / pageBytes);
    const mayShare = fixed + sum(processes.map(reach)) > limit;
    const seen = new Map<string, number>();
    for (const one of mayShare ? processes : []) {
      if (fixed > limit) break;
      const maps = readSome(`/proc/${one.pid}/task/${one.thread}/maps`, mapsBytes);
      const bytes = mappingBytes + chainBytes * (generations.get(one.pid) ?? 0);
      fixed += maps.length < mapsBytes ? bytes * linesOf(maps) : reach(one);
      for (const [, from, to, offset, inode] of maps.matchAll(sharedMap)) {
        const known = seen.get(inode) ?? 0;
        const extent = Math.max(hex(offset) + hex(to) - hex(from), known, extents.get(inode) ?? 0);
        fixed += extent - known;
        seen.set(inode, extent);
      }
    }
    if (mayShare) extents = seen;
    if (fixed > limit) return { bytes: fixed, isSure: true };
    const bytes = fixed + sum(processes.map((one) => one.residentBytes));
    if (bytes <= limit && !isExact) return { bytes, isSure: true };
    const shares = processes.map((one) => ({ ...one, bytes: proportionalBytes(one) }));
    const known = new Map(processes.map((one) => [one.pid, one.figures]));
    const twice = shares.filter(({ parent, figures }) => figures === known.get(parent));
    const total = fixed + sum(shares.map((one) => one.bytes));
    return { bytes: total, isSure: total - sum(twice.map((one) => one.bytes)) > limit };
  }

  return {
    count(pids, limit, isExact = false) {
      try {
        return count(pids, limit, isExact);
      } catch (error) {
        if (!isHidden(error)) throw error;
        return { bytes: Number.POSITIVE_INFINITY, isSure: true };
      }
    },
  };
}

/** Whether the system lets this process read all that is counted of these. */
export function isCountable(pids: readonly number[]): boolean {
  try {
    for (const pid of pids) {
      filesBytes(pid);
      for (const file of ['maps', 'smaps_rollup', 'net/unix']) readUnlessEnded(`/proc/${pid}/${file}`);
    }
    return true;
  } catch (error) {
    if (!isHidden(error)) throw error;
    return false;
  }
}

const isHidden = (error: unknown) =>
  ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');

/** `from-to rw-s offset device inode /dev/zero (deleted)` */
const sharedMap = /^(\w+)-(\w+) ...s (\w+) \S+ (\d+) +\/dev\/zero \(deleted\)$/gm;

interface ProcessMemory {
  readonly pid: number;
  readonly parent: number;
  /** A thread of it that lives: where the first one has ended, the process itself shows no memory. */
  readonly thread: string;
  readonly addressBytes: number;
  /** Private pages and those of files, swapped out or not. */
  readonly residentBytes: number;
  readonly kernelBytes: number;
  /** The same for two processes in one memory. */
  readonly figures: string;
}

/** Null for what has ended. */
function processMemory(pid: number): ProcessMemory | null {
  const own = readUnlessEnded(`/proc/${pid}/status`);
  const living = own.includes('\nVmSize:') ? { thread: String(pid), status: own } : livingThread(pid);
  if (living === null) return null;
  const { thread, status } = living;
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  const bytes = (name: string) => KiB * field(name);
  return {
    pid,
    parent: field('PPid'),
    thread,
    addressBytes: bytes('VmSize') + bytes('VmSwap'),
    residentBytes: bytes('RssAnon') + bytes('RssFile') + bytes('VmSwap'),
    kernelBytes: bytes('VmPTE') + kernelStackBytes * field('Threads'),
    figures: ['VmSize', 'RssAnon', 'RssFile', 'VmPTE'].map(field).join(),
  };
}

/**
 * How many processes are above each whose mappings it may have copied: its parents, but all there are where
 * its own parent has ended, so that it is a child of the box's first process. Parents come before their
 * children.
 */
function generationsOf(processes: readonly ProcessMemory[]): Map<number, number> {
  const generations = new Map<number, number>();
  for (const [i, { pid, parent }] of processes.entries()) {
    const isOrphan = i > 1 && parent === processes[0].pid;
    generations.set(pid, isOrphan ? processes.length : (generations.get(parent) ?? -1) + 1);
  }
  return generations;
}

function openFiles({ pid, thread }: ProcessMemory): number {
  try {
    return readdirSync(`/proc/${pid}/task/${thread}/fd`).length;
  } catch (error) {
    // What has lost its memory is ending, and belongs to root until it is gone.
    if (hasEnded(error) || livingThread(pid) === null) return 0;
    throw error;
  }
}

/** As residentBytes, with each page divided by the number of processes that hold it. */
function proportionalBytes({ pid, thread }: ProcessMemory): number {
  const text = readUnlessEnded(`/proc/${pid}/task/${thread}/smaps_rollup`);
  const fields = [...text.matchAll(/^(?:Pss_Anon|Pss_File|SwapPss):\s+(\d+) kB$/gm)];
  return KiB * sum(fields.map(([, kilobytes]) => Number(kilobytes)));
}

/** What the files of a box's /tmp and /dev/shm take. */
function filesBytes(pid: number): number {
  return sum(
    ['tmp', 'dev/shm'].map((folder) => {
      try {
        const { bsize, blocks, bfree, files, ffree } = statfsSync(`/proc/${pid}/root/${folder}`);
        return bsize * (blocks - bfree) + inodeBytes * (files - ffree);
      } catch (error) {
        if (hasEnded(error)) return 0;
        throw error;
      }
    }),
  );
}

let socketLimits: { buffer: number; queue: number } | null = null;

/**
 * What the sockets of a box's network namespace can hold: each what it has sent, in its own buffer, even
 * closed; a datagram socket as many such buffers as messages may wait.
 */
function socketBytes(pid: number): number {
  const setting = (path: string) => Number(readFileSync(`/proc/sys/net/${path}`, 'latin1'));
  socketLimits ??= { buffer: setting('core/wmem_default'), queue: setting('unix/max_dgram_qlen') };
  const [, ...sockets] = readSome(`/proc/${pid}/net/unix`, socketsBytes).trim().split('\n');
  const datagrams = sockets.filter((line) => line.split(/\s+/, 5)[4] === datagram).length;
  return socketLimits.buffer * (sockets.length + datagrams * (socketLimits.queue + 1));
}

const buffer = Buffer.allocUnsafe(socketsBytes);

/** The beginning of a file of /proc; empty where its process has ended. */
function readSome(path: string, most: number): string {
  let fd: number | null = null;
  try {
    fd = openSync(path, 'r');
    let length = 0;
    for (let read = -1; read !== 0 && length < most; length += read) {
      read = readSync(fd, buffer, length, most - length, null);
    }
    return buffer.toString('latin1', 0, length);
  } catch (error) {
    if (hasEnded(error)) return '';
    throw error;
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

const linesOf = (text: string) => text.split('\n').length - 1;
const hex = (digits: string) => Number.parseInt(digits, 16);
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
