import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { HarnessError, SandboxError } from '../errors.ts';
import type { BoxOptions, Sandbox } from './box.ts';
import { boxProcessors } from './bubblewrap.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { processTree, userIdsOf } from './process-tree.ts';
import { isCountable } from './tree-memory.ts';
import { viewOf } from './view.ts';

const script = readFileSync(new URL('probe.py', import.meta.url));
const python = '/usr/bin/python3';
const sleep = ['/usr/bin/sleep', '60'];
const limits: Limits = { ...defaultLimits, wallSeconds: 10 };

/**
 * What a sandbox does not hold of what it must, found by running boxes: one that looks at itself
 * (capabilities, filter, mounts, hidden files, sockets, namespaces, process limit), one that sleeps past its
 * wall limit, one whose user is read from outside, one whose memory is. Empty where the sandbox is safe to
 * use.
 */
export async function probe(sandbox: Sandbox): Promise<string[]> {
  if (!existsSync(python)) {
    throw new SandboxError(
      'sandbox: Python 3 is not installed in /usr/bin; install it with: apt-get install python3',
    );
  }
  const looks = [lookInside, sleepTooLong, lookAtUser, lookAtMemory].map((look) =>
    look(sandbox).catch(complaintOf),
  );
  const wrong = [...new Set((await Promise.all(looks)).flat())];
  // Boxes whose memory cannot be counted are stopped, which the other looks complain about.
  return wrong.includes(uncountedMemory) ? [uncountedMemory] : wrong;
}

/** The complaint of a machine that hides the boxes' processes from the harness. */
export const uncountedMemory = "a box's memory cannot be counted from outside";

/** A control group is asked, /proc has to be read: of processes of another user. */
async function lookAtMemory(sandbox: Sandbox): Promise<string[]> {
  if (sandbox.accounting.memory === 'cgroup') return [];
  const unlimited = { ...limits, memoryBytes: Number.POSITIVE_INFINITY };
  const sleeper = { command: sleep, limits: unlimited, lane: 3 };
  const isCounted = await lookAtSleeper(sandbox, sleeper, (pid) => isCountable(processTree(pid).slice(1)));
  return isCounted ? [] : [uncountedMemory];
}

/** That a box cannot be made is what the probe is there to find. */
function complaintOf(error: unknown): string[] {
  if (!(error instanceof HarnessError)) throw error;
  return [error.message.replace(/^sandbox: /, '')];
}

async function lookInside(sandbox: Sandbox): Promise<string[]> {
  const command = [
    ...[python, '-I', '-S', '/flex/probe.py'],
    ...[limits.fileBytes, limits.processes, namespacesToHide(sandbox), boxProcessors, filesToHide()].map(
      (value) => JSON.stringify(value),
    ),
  ];
  const box = sandbox.open({ command, files: { '/flex/probe.py': script }, limits, lane: 0 });
  const { code, stopped, stdout, stderr } = await box.ended;
  if (code !== 0 || stopped !== null) {
    return [stderr.trim().split('\n').at(-1) || `the probe ended with ${stopped ?? code}`];
  }
  return JSON.parse(stdout) as string[];
}

/** Files and folders that every box must show empty, or not at all. */
function filesToHide(): string[] {
  return [...viewOf([], []).masked, join(import.meta.dirname, 'probe.py'), '/proc/sys', '/usr/src', '/var'];
}

/**
 * The harness's own namespaces that a box must not be in, by kind. Root inside a box is root of its users.
 */
function namespacesToHide({ mode }: Sandbox): Record<string, string> {
  const kinds = ['ipc', 'mnt', 'net', 'pid', 'uts', ...(mode === 'bubblewrap' ? ['user'] : [])];
  return Object.fromEntries(kinds.map((kind) => [kind, readlinkSync(`/proc/self/ns/${kind}`)]));
}

async function sleepTooLong(sandbox: Sandbox): Promise<string[]> {
  const box = sandbox.open({ command: sleep, limits: { ...limits, wallSeconds: 0.1 }, lane: 1 });
  const { stopped, seconds } = await box.ended;
  return stopped === 'wall' && seconds < 5 ? [] : ['a sleeping box was not stopped in time'];
}

/** Read from outside: user ids seen from inside are not the machine's. */
async function lookAtUser(sandbox: Sandbox): Promise<string[]> {
  const sleeper = { command: sleep, limits, lane: 2 };
  const users = await lookAtSleeper(sandbox, sleeper, (pid) => userIdsOf(pid, 'sleep'));
  if (users === null) return ['its program cannot be seen from outside'];
  return users.includes(0) ? ["its program runs as the machine's root"] : [];
}

/** What is seen of a box from outside once its program sleeps; null where that never shows. */
async function lookAtSleeper<T>(
  sandbox: Sandbox,
  options: BoxOptions,
  look: (pid: number) => T,
): Promise<T | null> {
  const box = sandbox.open(options);
  let ended = false;
  const end = box.ended.finally(() => {
    ended = true;
  });
  // A rejection is met below.
  end.catch(() => {});
  let seen: T | null = null;
  while (seen === null && !ended && box.pid !== undefined) {
    await setTimeout(5);
    if (userIdsOf(box.pid, 'sleep').length > 0) seen = look(box.pid);
  }
  box.kill();
  await end;
  return seen;
}
