import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { temporaryFolder } from '@flex/base/testing';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { processorSeconds, processTree, userIdsOf } from './process-tree.ts';

const python = '/usr/bin/python3';

/** Starts a program in a process group of its own, all of which is killed when the test ends. */
function start(file: string, args: readonly string[]): ChildProcess & { pid: number } {
  const child = spawn(file, args, { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
  if (child.pid === undefined) throw new Error(`${file} cannot be started`);
  const { pid } = child;
  onTestFinished(() => void process.kill(-pid, 'SIGKILL'));
  return Object.assign(child, { pid });
}

/** Starts a Python program that prints a line when it is ready. */
async function startPython(program: string): Promise<number> {
  const { pid, stdout } = start(python, ['-I', '-S', '-c', program]);
  await new Promise((resolve) => stdout?.once('data', resolve));
  return pid;
}

const hasPython = process.platform === 'linux' && existsSync(python);

describe.skipIf(!hasPython)('the usage of a process and its descendants', () => {
  test('has the processor time of children, living and waited for', async () => {
    const pid = await startPython(`
import os, time
def burn():
    start = time.process_time()
    while time.process_time() - start < 0.3:
        pass
first = os.fork()
if first == 0:
    burn()
    os._exit(0)
os.waitpid(first, 0)
if os.fork() == 0:
    burn()
    print('ready', flush=True)
    time.sleep(60)
time.sleep(60)`);
    const cpuSeconds = processorSeconds(processTree(pid));
    expect(cpuSeconds).toBeGreaterThan(0.5);
    expect(cpuSeconds).toBeLessThan(1.5);
  });

  test('has what threads have started', async () => {
    const pid = await startPython(`
import subprocess, threading
threading.Thread(target=lambda: subprocess.run(['/bin/sleep', '60'])).start()
print('ready', flush=True)`);
    await vi.waitFor(() => expect(processTree(pid)).toHaveLength(2));
  });

  test('has daemons whose parents are gone, as long as one of the tree takes them in', async () => {
    const pid = await startPython(`
import ctypes, os, time
ctypes.CDLL(None).prctl(36, 1)
if os.fork() == 0:
    if os.fork() == 0:
        print('ready', flush=True)
        time.sleep(60)
    os._exit(0)
time.sleep(60)`);
    await vi.waitFor(() => expect(userIdsOf(pid, 'python3')).toHaveLength(3));
    expect(processTree(pid)).toHaveLength(3);
  });
});

describe.skipIf(process.platform !== 'linux')('of processes', () => {
  test.each(['a b', 'x) R 1 1 (y', '((', ')'])('called %j the numbers are right too', async (name) => {
    const file = join(temporaryFolder(), name);
    copyFileSync('/usr/bin/sleep', file);
    const { pid } = start(file, ['60']);
    await vi.waitFor(() => expect(userIdsOf(pid, name)).toEqual([process.getuid?.()]));
    expect(processTree(pid)).toEqual([pid]);
    expect(processorSeconds([pid])).toBeLessThan(1);
  });

  test('that have ended there is nothing', async () => {
    const child = spawn('/usr/bin/true');
    const { pid } = child;
    await new Promise((resolve) => child.once('close', resolve));
    expect(processTree(pid as number)).toEqual([pid]);
    expect(processorSeconds([pid as number])).toBe(0);
    expect(userIdsOf(pid as number, 'true')).toEqual([]);
  });

  test('that end while they are read, what was read counts', async () => {
    const { pid } = start('/bin/sh', ['-c', 'while :; do /bin/true; done']);
    for (const end = performance.now() + 300; performance.now() < end; await setTimeout(0)) {
      expect(processorSeconds(processTree(pid))).not.toBeNaN();
    }
  });
});
