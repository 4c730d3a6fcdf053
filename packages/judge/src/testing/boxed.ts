import { readdirSync, readFileSync } from 'node:fs';
import type { RunProgram } from '../sandbox/run.ts';

/** A Python program to run in a box. */
export function python(source: string, ...args: readonly string[]): RunProgram {
  return {
    command: ['/usr/bin/python3', '-I', '-S', '/flex/program.py', ...args],
    files: { '/flex/program.py': source },
  };
}

/** A text that is in the command line of no process yet. */
export const newMarker = () => `flex-marker-${process.pid}-${Math.random().toString(36).slice(2)}`;

/** The processes of the whole machine with this text in their command line. */
export function processesWith(marker: string): string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => readUnlessGone(`/proc/${pid}/cmdline`).includes(marker));
}

/** A file of /proc; empty for a process that has ended. */
export function readUnlessGone(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}

/** Sleeps, with the marker in its command line. */
export const sleeper = (marker: string): RunProgram => ({
  command: ['/bin/sh', '-c', 'sleep 60; :', marker],
});

/**
 * Starts three daemons, each in a session of its own, with the marker in their command line, and sleeps or
 * ends.
 */
export const daemons = (marker: string, { ends = false } = {}): RunProgram =>
  python(
    `
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            code = 'import time; print("up", flush=True); time.sleep(60)'
            os.execv(sys.executable, ['python3', '-ISc', code, sys.argv[1]])
        os._exit(0)
    os.wait()
time.sleep(${ends ? 0.3 : 60})`,
    marker,
  );
