import { existsSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { SandboxError } from '../errors.ts';
import type { Sandbox } from './box.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { userIdsOf } from './process-tree.ts';

const script = readFileSync(new URL('probe.py', import.meta.url));
const python = '/usr/bin/python3';
const sleep = ['/usr/bin/sleep', '60'];
const limits: Limits = { ...defaultLimits, wallSeconds: 10 };

/**
 * What a sandbox does not hold of what it must, found by running boxes: one that looks at itself
 * (capabilities, filter, mounts, sockets, namespaces, process limit), one that sleeps past its wall limit, one
 * whose user is read from outside.
 * Empty where the sandbox is safe to use.
 */
export async function probe(sandbox: Sandbox): Promise<string[]> {
  if (!existsSync(python)) {
    throw new SandboxError(
      'sandbox: Python 3 is not installed in /usr/bin; install it with: apt-get install python3',
    );
  }
  const looks = [lookInside(sandbox), sleepTooLong(sandbox), lookAtUser(sandbox)];
  return (await Promise.all(looks)).flat();
}

async function lookInside(sandbox: Sandbox): Promise<string[]> {
  const command = [
    ...[python, '-I', '-S', '/flex/probe.py'],
    ...[String(limits.fileBytes), String(limits.processes)],
  ];
  const box = sandbox.open({ command, files: { '/flex/probe.py': script }, limits, lane: 0 });
  const { code, stopped, stdout, stderr } = await box.ended;
  if (code !== 0 || stopped !== null) {
    return [stderr.trim().split('\n').at(-1) || `the probe ended with ${stopped ?? code}`];
  }
  return JSON.parse(stdout) as string[];
}

async function sleepTooLong(sandbox: Sandbox): Promise<string[]> {
  const box = sandbox.open({ command: sleep, limits: { ...limits, wallSeconds: 0.1 }, lane: 1 });
  const { stopped, seconds } = await box.ended;
  return stopped === 'wall' && seconds < 5 ? [] : ['a sleeping box was not stopped in time'];
}

/** Read from outside: user ids seen from inside are not the machine's. */
async function lookAtUser(sandbox: Sandbox): Promise<string[]> {
  const box = sandbox.open({ command: sleep, limits, lane: 2 });
  let ended = false;
  const end = box.ended.finally(() => {
    ended = true;
  });
  let users: number[] = [];
  while (users.length === 0 && !ended && box.pid !== undefined) {
    await setTimeout(5);
    users = userIdsOf(box.pid, 'sleep');
  }
  box.kill();
  await end;
  return users.length > 0 && !users.includes(0) ? [] : ["its program runs as the machine's root"];
}
