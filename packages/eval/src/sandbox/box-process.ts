import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { HarnessError } from '../errors.ts';
import type { Box, BoxEnd, BoxOptions, Stop } from './box.ts';
import { keepText } from './kept-text.ts';
import { treeUsage } from './process-tree.ts';

/** Milliseconds between two looks at a box's memory and processor time. */
const pollMs = 50;
/** Bytes of each output stream that are kept. */
const keptBytes = 64 * 1024;
/** Milliseconds after a box's end within which its pipes must have closed. */
const closeMs = 5000;

export interface Launch {
  /** Program and arguments outside. */
  readonly command: readonly string[];
  /** The user and group to start it as; undefined keeps the harness's own. */
  readonly uid?: number;
  /** Contents for the descriptors from 3 on. */
  readonly data: readonly (string | Uint8Array)[];
}

/** Starts a program and watches its limits until all of it is gone. */
export function startBox(launch: Launch, { limits, onOutput }: BoxOptions): Box {
  const [file, ...args] = launch.command;
  const started = performance.now();
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe', ...launch.data.map(() => 'pipe' as const)],
    env: {},
    cwd: '/',
    ...(launch.uid === undefined ? {} : { uid: launch.uid, gid: launch.uid }),
  });
  for (const [i, bytes] of launch.data.entries()) feed(child.stdio[3 + i] as Duplex, bytes);
  // A program may end without reading its input; what it leaves is of no interest.
  child.stdin?.on('error', ignoreClosedPipe);

  let stopped: Stop | null = null;
  let cpuSeconds = 0;
  let residentBytes = 0;
  const stop = (reason: Stop) => {
    if (stopped !== null || child.exitCode !== null || child.signalCode !== null) return;
    look();
    stopped = reason;
    killAll(child);
  };
  const look = () => {
    if (child.pid === undefined) return;
    const usage = treeUsage(child.pid);
    cpuSeconds = Math.max(cpuSeconds, usage.cpuSeconds);
    residentBytes = Math.max(residentBytes, usage.residentBytes);
  };
  const poll = setInterval(() => {
    look();
    if (residentBytes > limits.residentBytes) stop('memory');
    else if (cpuSeconds > limits.cpuSeconds) stop('cpu');
  }, pollMs);
  const wall = Number.isFinite(limits.wallSeconds)
    ? setTimeout(() => stop('wall'), limits.wallSeconds * 1000)
    : undefined;

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
      clearInterval(poll);
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
      resolve({
        code,
        signal,
        stopped,
        stdout: stdout.text(),
        stderr: stderr.text(),
        seconds: (performance.now() - started) / 1000,
        cpuSeconds,
        residentBytes,
      });
    });
  });
  // Whoever opened the box may not be waiting for its end yet when it fails to start.
  ended.catch(() => {});
  return {
    pid: child.pid,
    write: (bytes) => void child.stdin?.write(bytes),
    endInput: () => void child.stdin?.end(),
    kill: () => stop('closed'),
    ended,
  };
}

function feed(pipe: Duplex, bytes: string | Uint8Array): void {
  pipe.on('error', ignoreClosedPipe);
  pipe.end(bytes);
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') throw error;
}

/** SIGKILL to bubblewrap, whose death takes the box's process namespace along. */
function killAll(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(child.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
