import { type ChildProcess, type IOType, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { HarnessError, SandboxError } from '../errors.ts';
import type { Box, BoxEnd, BoxOptions, Stop } from './box.ts';
import { type BoxMeter, openMeter } from './box-meter.ts';
import { openConstant } from './constant-file.ts';
import type { GroupParents } from './control-groups.ts';
import { inheritableFiles } from './inheritable-files.ts';
import { keepText } from './kept-text.ts';
import { childrenOf } from './process-tree.ts';

/** Bytes of each output stream that are kept. */
const keptBytes = 64 * 1024;
/** Milliseconds after a box's end within which its pipes must have closed. */
const closeMs = 5000;
/** Seconds that a timer of Node's can wait, 24 days; a longer wall limit is none. */
const longestTimer = 2 ** 31 / 1000;

/** Bubblewrap's exit code where its program was killed. */
const killedCode = 128 + 9;

/** File descriptor of the gate: a line each way before the box's program starts. */
export const gateFd = 3;

export interface Launch {
  /** Program and arguments outside: what makes the box, writes a line at the gate, and waits for one. */
  readonly command: readonly string[];
  /** The user and group to start it as; undefined keeps the harness's own. */
  readonly uid?: number;
  /** Contents for the descriptors after the gate's; by pipes, where they are no constants. */
  readonly data: readonly (string | Uint8Array)[];
  /** Where the box has control groups of its own. */
  readonly groups: GroupParents;
}

/**
 * Starts a program and watches its limits until all of it is gone.
 *
 * A box dies with the process that holds it, but only once it is made: bubblewrap that dies before leaves
 * behind what it has forked. So nothing runs in a box until it says at its gate that it is made and hears
 * that it may go on; one that nobody answers, since it was stopped or the harness died, ends itself there.
 */
export function startBox(launch: Launch, { limits, onOutput }: BoxOptions): Box {
  const [file] = launch.command;
  const started = performance.now();
  const child = start(launch);
  const [gate, ...pipes] = (child.stdio ?? []).slice(gateFd) as Duplex[];
  for (const [i, bytes] of launch.data.entries()) pipes[i]?.on('error', ignoreClosedPipe).end(bytes);
  // A program may end without reading its input; what it leaves is of no interest.
  child.stdin?.on('error', ignoreClosedPipe);

  let meter: BoxMeter | null = null;
  let failure: HarnessError | null = null;
  let stopped: Stop | null = null;
  let cpuSeconds = 0;
  let poll: NodeJS.Timeout;
  const keepLooking = (by: BoxMeter) => {
    try {
      const { exceeded, restMs, ...used } = by.look();
      cpuSeconds = used.cpuSeconds;
      if (exceeded) stop(exceeded);
      else poll = setTimeout(keepLooking, restMs, by);
    } catch (error) {
      giveUp(error);
    }
  };
  const unwatched = (error: unknown) =>
    new HarnessError(`sandbox: a box could not be watched: ${(error as Error).message}`);
  const giveUp = (error: unknown) => {
    failure = unwatched(error);
    stop('closed');
  };
  const stop = (reason: Stop) => {
    if (stopped !== null || child.exitCode !== null || child.signalCode !== null) return;
    stopped = reason;
    // What it used is read while it is there, where that is not known to be within its limits.
    try {
      if (failure === null && reason !== 'closed') meter?.look();
    } catch (error) {
      failure = unwatched(error);
    }
    if (meter === null) gate?.destroy();
    else if (child.pid !== undefined) killAll(child.pid);
  };
  gate?.on('error', ignoreClosedPipe).once('data', () => {
    const opened = openMeter(launch.groups, limits);
    meter = opened;
    const open = () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      poll = setTimeout(keepLooking, opened.firstRestMs, opened);
      gate.end('\n');
    };
    opened
      .start(child.pid as number)
      .then(open)
      .catch(giveUp);
  });
  const wall =
    limits.wallSeconds < longestTimer ? setTimeout(() => stop('wall'), limits.wallSeconds * 1000) : undefined;

  const stdout = keepText(keptBytes);
  const stderr = keepText(keptBytes);
  const keep = (chunk: Buffer, kept: typeof stdout) => {
    kept.push(chunk);
    if (stdout.size + stderr.size > limits.outputBytes) stop('output');
  };
  child.stdout?.on('data', onOutput ?? ((chunk: Buffer) => keep(chunk, stdout)));
  child.stderr?.on('data', (chunk: Buffer) => keep(chunk, stderr));

  const ended = new Promise<BoxEnd>((resolve, reject) => {
    let guard: NodeJS.Timeout;
    const settle = () => {
      clearTimeout(poll);
      clearTimeout(wall);
    };
    child.once('error', (error) => {
      settle();
      reject(new HarnessError(`sandbox: ${file} cannot be started: ${error.message}`));
    });
    child.once('exit', () => {
      settle();
      guard = setTimeout(() => {
        reject(new HarnessError('sandbox: a box ended, but something still holds its pipes'));
      }, closeMs);
    });
    child.once('close', (code, signal) => {
      clearTimeout(guard);
      const wasKilled = stopped === null && (code === killedCode || signal === 'SIGKILL');
      const used = meter?.end(wasKilled) ?? { cpuSeconds: 0, memoryBytes: 0, exceeded: null };
      if (failure) return reject(failure);
      if (meter === null && stopped === null) {
        const said = stderr.text().trim().split('\n').at(-1) || `code ${code ?? signal}`;
        return reject(new HarnessError(`sandbox: a box could not be made: ${said}`));
      }
      // The last look may find what was still hidden when the box ended, or was closed.
      if (stopped === null || stopped === 'closed') stopped = used.exceeded ?? stopped;
      resolve({
        code: stopped === null ? code : null,
        signal: stopped === null ? signal : null,
        stopped,
        stdout: stdout.text(),
        stderr: stderr.text(),
        seconds: (performance.now() - started) / 1000,
        cpuSeconds: used.cpuSeconds,
        memoryBytes: used.memoryBytes,
      });
    });
  });
  // Whoever opened the box may not be waiting for its end yet when it fails to start.
  ended.catch(() => {});
  return {
    pid: child.pid,
    write: (bytes) => void child.stdin?.write(bytes),
    endInput: () => void child.stdin?.end(),
    usage: () => ({ cpuSeconds }),
    kill: () => stop('closed'),
    ended,
  };
}

function start({ command: [file, ...args], uid, data }: Launch): ChildProcess {
  const constants = data.map(openConstant);
  try {
    const stdio: (IOType | number)[] = Array(gateFd + 1).fill('pipe');
    for (const constant of constants) stdio.push(constant ?? 'pipe');
    for (const fd of inheritableFiles()) {
      while (stdio.length <= fd) stdio.push('ignore');
      if (stdio[fd] === 'ignore') stdio[fd] = nullDevice();
    }
    return spawn(file, args, {
      stdio,
      env: {},
      cwd: '/',
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
  } catch (error) {
    if (error instanceof SandboxError) throw error;
    throw new HarnessError(`sandbox: ${file} cannot be started: ${(error as Error).message}`);
  } finally {
    for (const constant of constants) if (constant !== null) closeSync(constant);
  }
}

let openNullDevice: number | null = null;

/** What takes the place of the harness's own files in a box. */
function nullDevice(): number {
  openNullDevice ??= openSync('/dev/null', 'r');
  return openNullDevice;
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') throw error;
}

/**
 * SIGKILL to the first process in the box, with which its process namespace ends; bubblewrap, outside, waits
 * for it and ends too. Were bubblewrap killed, the first process would die as well, but an orphan: a zombie
 * wherever the machine's own first process does not wait, as in most containers.
 */
function killAll(bubblewrap: number): void {
  const [first = bubblewrap] = childrenOf(bubblewrap);
  try {
    process.kill(first, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
