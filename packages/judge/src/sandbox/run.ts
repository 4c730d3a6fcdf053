import type { BoxEnd } from './box.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { openSandbox } from './sandbox.ts';

/** A program to run in a box. */
export interface RunProgram {
  /** Program and arguments: a path below /usr, or one of `files`. */
  readonly command: readonly string[];
  /** Read-only files by absolute path in the box. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  readonly stdin?: string | Uint8Array;
  /** Boxes that run at the same time should have different lanes: each is a user id of its own. */
  readonly lane?: number;
}

/**
 * Runs an untrusted program and tells how it ended. Throws SandboxError where no safe box can be made.
 *
 * What the box holds, checked from inside before the first use: the program has no capabilities, cannot gain
 * any, and is another user than the harness's root; it sees what toolchains read of /usr and /etc and the
 * given files, read-only, and no other file of the machine, nor packages that others installed; it can write
 * only to /tmp and /dev/shm, which are memory, bounded by `fileBytes` each and gone afterwards; it leaves no
 * lock, lease, hint, watch or time on a file that other boxes see; it has no network, not even loopback to
 * the machine, no sockets but AF_UNIX, and no terminals; it sees no process but its own, and cannot trace,
 * mount or make namespaces; it has no variable and no open file of the harness's; it is told of
 * `boxProcessors` processors on every machine. It is killed at its limits, and with it every process it made;
 * so it is when the harness dies.
 *
 * What it does not hold: a bug of the kernel can be used from inside, as from any namespace sandbox. Where
 * the box has no control groups of its own, memory and processor time are looked at every 50 ms, more often
 * close to the limit, so a box can exceed them by what it gets done in that time; then 64 MiB in a user's
 * first thousand pipes, what epolls watch, and pages of a shared anonymous map that was cut between two looks
 * are not counted, nor children that nobody waits for and that live for less than a look. Boxes share the
 * processor and its caches, and files of /usr in memory, of which a box is told what it had to read from disk
 * (getrusage), so timing and side channels are open; /proc tells the machine's memory, load and uptime.
 */
export async function run(
  { command, files, stdin = '', lane = 0 }: RunProgram,
  limits: Limits = defaultLimits,
): Promise<BoxEnd> {
  const sandbox = await openSandbox();
  const box = sandbox.open({ command, files, limits, lane });
  box.write(stdin);
  box.endInput();
  return await box.ended;
}
