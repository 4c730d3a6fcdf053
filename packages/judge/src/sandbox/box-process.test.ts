import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { temporaryFolder } from '@flex/base/testing';
import { hasPython, runPython } from '@flex/fixtures';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { HarnessError } from '../errors.ts';
import { daemons, newMarker, processesWith, readUnlessGone, sleeper } from '../testing/boxed.ts';
import type { Look } from '../testing/harness-process.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import { startBox } from './box-process.ts';
import { defaultLimits } from './limits.ts';
import { run } from './run.ts';
import { bubblewrapSandbox, findBubblewrap, openSandbox } from './sandbox.ts';
import { seccompFilter } from './seccomp.ts';

const limits = { ...defaultLimits, wallSeconds: 30 };
/** None: boxes that cannot be made need none. */
const groups = { memory: null, time: null };
const patience = { timeout: 20_000, interval: 20 };

describe.skipIf(withoutSandbox)('when a box ends, every process in it is gone', () => {
  test('daemons of a program that ended by itself', async () => {
    const marker = newMarker();
    const ended = run(daemons(marker, { ends: true }));
    await vi.waitFor(() => expect(processesWith(marker).length).toBeGreaterThan(5), patience);
    expect(await ended).toMatchObject({ code: 0, stopped: null });
    expect(processesWith(marker)).toEqual([]);
  });
  test('daemons of a program that was killed', async () => {
    const marker = newMarker();
    const sandbox = await openSandbox();
    let up = 0;
    const onOutput = (chunk: Buffer) => {
      up += chunk.toString().split('up').length - 1;
    };
    const box = sandbox.open({ ...daemons(marker), limits, lane: 0, onOutput });
    await vi.waitFor(() => expect(up).toBe(3), patience);
    box.kill();
    expect(await box.ended).toMatchObject({ stopped: 'closed', code: null, signal: null });
    expect(processesWith(marker)).toEqual([]);
    box.kill();
    box.write('nobody reads this');
    box.endInput();
  });
  test('whenever it is killed, from the moment it is opened', async () => {
    const marker = newMarker();
    const sandbox = await openSandbox();
    const killLater = async (i: number) => {
      const box = sandbox.open({ ...sleeper(marker), limits, lane: i % 8 });
      if (i > 0) await setTimeout(i / 8);
      box.kill();
      return await box.ended;
    };
    for (let i = 0; i < 160; i += 8) {
      const ends = await Promise.all(Array.from({ length: 8 }, (_, j) => killLater(i + j)));
      for (const { stopped } of ends) expect(stopped).toBe('closed');
      expect(processesWith(marker)).toEqual([]);
    }
  });
});

describe.skipIf(withoutSandbox)('a harness', () => {
  test('keeps no file open and no zombie for boxes that ended, however they did', async () => {
    const sandbox = await openSandbox();
    const one = async (i: number) => {
      const program = i % 5 === 0 ? ['/usr/bin/sleep', '60'] : ['/usr/bin/cat', '/flex/a'];
      const wallSeconds = i % 10 === 0 ? 0.05 : 30;
      const box = sandbox.open({
        command: program,
        files: { '/flex/a': 'a'.repeat(i), '/flex/b': '' },
        limits: { ...limits, wallSeconds },
        lane: i % 8,
      });
      if (i % 3 === 0) box.write('x'.repeat(i * 1000));
      if (i % 5 === 0 && i % 10 !== 0) box.kill();
      await box.ended;
    };
    await one(0);
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 200; i += 8) await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((j) => one(i + j)));
    await vi.waitFor(() => expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before), patience);
    const children = readUnlessGone(`/proc/self/task/${process.pid}/children`).split(' ').filter(Boolean);
    const names = children.map((pid) => readUnlessGone(`/proc/${pid}/stat`));
    expect(names.filter((stat) => stat.includes('bwrap') || / Z /.test(stat))).toEqual([]);
  });

  test.skipIf(!hasPython)(
    'leaves no zombie to the first process of the machine for the twenty boxes it killed',
    () => {
      const kill = [process.execPath, '--import', 'tsx', harness, 'kill', newMarker()];
      const { output, error } = runPython(`
import ctypes, os, subprocess, time
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans below come to this process
run = subprocess.run(${JSON.stringify(kill)}, cwd=${JSON.stringify(root)}, stderr=subprocess.STDOUT)
time.sleep(0.5)
names = [open(f'/proc/{pid}/comm').read().strip()
         for pid in open(f'/proc/self/task/{os.getpid()}/children').read().split()]
print(run.returncode, names.count('bwrap'))
`);
      const [code, zombies] = output.split(' ').map(Number);
      expect([code, error]).toEqual([0, '']);
      // Bubblewrap may not wait for a program that ends by itself, as those of the probe do.
      expect(zombies).toBeLessThan(10);
    },
    60_000,
  );

  const start = (
    task: string,
    marker: string,
    options: { uid?: number; stdio?: (number | 'ignore')[] } = {},
  ): ChildProcess =>
    spawn(process.execPath, ['--import', 'tsx', harness, task, marker], {
      cwd: root,
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'inherit', ...(options.stdio ?? [])],
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    });
  const lookOf = async (child: ChildProcess): Promise<Look> =>
    JSON.parse(Buffer.concat((await child.stdout?.toArray()) ?? []).toString());
  const safe = {
    mode: 'bubblewrap',
    attempts: [0, '65534 OSError OSError worked PermissionError ProcessLookupError [] 2'],
    wall: 'wall',
    memory: 'memory',
    left: 0,
  };

  test.skipIf(process.getuid?.() !== 0 || !isReadableBy(61_234))(
    'of an ordinary user makes boxes that are as safe',
    async () => {
      const look = await lookOf(start('look', newMarker(), { uid: 61_234 }));
      expect(look).toEqual({ uid: 61_234, ...safe });
    },
  );

  test('hands no file on that it was started with', async () => {
    const secret = join(temporaryFolder(), 'secret');
    writeFileSync(secret, '');
    const fd = openSync(secret, 'r+');
    onTestFinished(() => closeSync(fd));
    // Node itself closes those that come without a gap.
    const stdio = [...Array(30).fill('ignore'), fd];
    const look = await lookOf(start('look', newMarker(), { stdio }));
    expect(look).toEqual({ uid: process.getuid?.(), ...safe });
  });

  test('that is killed takes all its boxes along, those too that it is just making', async () => {
    const killOne = async () => {
      const marker = newMarker();
      const child = start('loop', marker);
      await new Promise((resolve) => child.stdout?.once('data', resolve));
      await vi.waitFor(() => expect(processesWith(marker).length).toBeGreaterThan(12), patience);
      await setTimeout(Math.random() * 50);
      child.kill('SIGKILL');
      await vi.waitFor(() => expect(processesWith(marker)).toEqual([]), { timeout: 2000, interval: 20 });
    };
    for (let round = 0; round < 3; round++) await Promise.all([killOne(), killOne()]);
  });
});

describe.skipIf(withoutSandbox)('a box that cannot be made', () => {
  test('is a failure of the harness, never an end of its program', async () => {
    const launch = { command: ['/bin/sh', '-c', 'echo first >&2; echo why >&2; exit 3'], data: [], groups };
    const box = startBox(launch, { command: [], limits, lane: 0 });
    await expect(box.ended).rejects.toThrow(new HarnessError('sandbox: a box could not be made: why'));
    const silent = startBox(
      { command: ['/bin/false'], data: ['x'], groups },
      { command: [], limits, lane: 0 },
    );
    await expect(silent.ended).rejects.toThrow('a box could not be made: code 1');
  });
  test.each([
    ['is not there', ['/nowhere/bwrap'], /cannot be started: .*ENOENT/],
    ['is no program', ['/etc'], /cannot be started: .*EACCES/],
    ['has arguments that are too long', ['/bin/true', 'x'.repeat(3e6)], /cannot be started: .*E2BIG/],
  ])('since its program %s, is too', async (_, command, message) => {
    const start = async () => {
      const box = startBox({ command, data: ['x'], groups }, { command: [], limits, lane: 0 });
      box.write('x');
      box.kill();
      return await box.ended;
    };
    await expect(start()).rejects.toThrow(HarnessError);
    await expect(start()).rejects.toThrow(message);
  });
  test('since the harness has too many files open, is too', async () => {
    const files: number[] = [];
    try {
      for (;;) files.push(openSync('/dev/null', 'r'));
    } catch (error) {
      expect(error).toMatchObject({ code: 'EMFILE' });
    }
    try {
      const command = ['/bin/true'];
      const starting = async () =>
        await startBox({ command, data: [], groups }, { command, limits, lane: 0 }).ended;
      await expect(starting()).rejects.toThrow(HarnessError);
    } finally {
      files.forEach(closeSync);
    }
  });
});

test.skipIf(withoutSandbox)('a box that cannot be watched as it is stopped is one as well', async () => {
  const noGroups = { memory: null, time: { version: 2, folder: '/nowhere' } } as const;
  const filter = seccompFilter(process.arch);
  const sandbox = bubblewrapSandbox(findBubblewrap(), 'bubblewrap', filter, noGroups);
  const box = sandbox.open({ command: ['/usr/bin/yes'], limits: { ...limits, outputBytes: 1000 }, lane: 0 });
  await expect(box.ended).rejects.toThrow(/^sandbox: a box could not be watched: .*\/nowhere/);
});

const root = join(import.meta.dirname, '../../../..');
const harness = join(import.meta.dirname, '../testing/harness-process.ts');

function isReadableBy(uid: number): boolean {
  return spawnSync('/usr/bin/test', ['-r', harness], { uid, gid: uid }).status === 0;
}
