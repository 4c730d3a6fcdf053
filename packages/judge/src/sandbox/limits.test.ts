import { describe, expect, test } from 'vitest';
import { python } from '../testing/boxed.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import type { BoxEnd } from './box.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { run } from './run.ts';

const MiB = 2 ** 20;

const limited = (limits: Partial<Limits>, source: string): Promise<BoxEnd> =>
  run(python(source), { ...defaultLimits, ...limits });

/** Ended from outside, at this limit, with nothing of its own to say. */
const stoppedAt = (stopped: BoxEnd['stopped']) => ({ stopped, code: null, signal: null });

describe.skipIf(withoutSandbox)('a box is stopped', () => {
  test('at its wall-clock seconds, asleep', async () => {
    const end = await limited({ wallSeconds: 0.4 }, 'import time; print("on", flush=True); time.sleep(60)');
    expect(end).toMatchObject({ ...stoppedAt('wall'), stdout: 'on\n' });
    expect(end.seconds).toBeGreaterThan(0.39);
    expect(end.seconds).toBeLessThan(5);
    expect(end.cpuSeconds).toBeLessThan(0.3);
  });
  test('at its wall-clock seconds even before it is made', async () => {
    const end = await limited({ wallSeconds: 0 }, 'print("on")');
    expect(end).toMatchObject({ stopped: 'wall', stdout: '' });
  });
  test('at its processor seconds', async () => {
    const end = await limited({ cpuSeconds: 0.4 }, 'while True: pass');
    expect(end).toMatchObject(stoppedAt('cpu'));
    expect(end.cpuSeconds).toBeGreaterThan(0.4);
    expect(end.cpuSeconds).toBeLessThan(2);
  });
  test.each([
    ['standard output', '1, 1'],
    ['standard error', '2, 2'],
    ['both together', '1, 2'],
  ])('at its bytes of %s, of which the first are kept', async (_, streams) => {
    const flood = `
import os
while True:
    for stream in (${streams}): os.write(stream, b"x" * 65536)`;
    const end = await limited({ outputBytes: MiB }, flood);
    expect(end).toMatchObject(stoppedAt('output'));
    expect(end.seconds).toBeLessThan(5);
    const kept = [end.stdout, end.stderr].map((text) => text.length);
    expect(Math.max(...kept)).toBe(64 * 1024);
    for (const length of kept) expect([0, 64 * 1024]).toContain(length);
  });
  test('not at as many bytes of output as it may write', async () => {
    const end = await limited({ outputBytes: MiB }, `import os; os.write(1, b'x' * ${MiB})`);
    expect(end).toMatchObject({ code: 0, stopped: null });
  });
});

describe.skipIf(withoutSandbox)('a program in a box gets no more', () => {
  test('memory than its address space', async () => {
    const end = await limited({}, "data = bytearray(9 << 30); print('got it')");
    expect(end).toMatchObject({ code: 1, stopped: null, stdout: '' });
    expect(end.stderr).toContain('MemoryError');
  });
  test('memory than its address space, unless that is left open', async () => {
    // Reserved, not used.
    const source = "import mmap; mmap.mmap(-1, 2 << 30, mmap.MAP_PRIVATE); print('got it')";
    expect(await limited({ addressSpaceBytes: 1024 * MiB }, source)).toMatchObject({ code: 1, stdout: '' });
    expect(await limited({ addressSpaceBytes: null }, source)).toMatchObject({ stdout: 'got it\n' });
  });
  test('bytes in a file', async () => {
    const source = `
import os
file = os.open('/tmp/file', os.O_CREAT | os.O_WRONLY)
written = 0
try:
    while True: written += os.write(file, b'x' * 65536)
except OSError as error:
    print(written, os.strerror(error.errno))`;
    expect((await limited({ fileBytes: MiB }, source)).stdout).toMatch(
      /^\d+ (File too large|No space left on device)\n$/,
    );
    expect(Number.parseInt((await limited({ fileBytes: MiB }, source)).stdout, 10)).toBeLessThanOrEqual(MiB);
  });
  test.each(['/tmp', '/dev/shm'])('bytes in all files of %s', async (folder) => {
    const source = `
import os
written = 0
try:
    for i in range(100):
        with open(f'${folder}/{i}', 'wb', 0) as file: written += file.write(b'x' * 65536)
except OSError as error:
    print(written, os.strerror(error.errno))`;
    const { stdout } = await limited({ fileBytes: MiB }, source);
    expect(stdout).toMatch(/^\d+ No space left on device\n$/);
    expect(Number.parseInt(stdout, 10)).toBeLessThanOrEqual(MiB);
    expect(Number.parseInt(stdout, 10)).toBeGreaterThan(MiB / 2);
  });
  test('memory that nobody can count', async () => {
    const source = `
import mmap, os
def result(make):
    try:
        make()
        return 'made'
    except OSError as error:
        return os.strerror(error.errno)
huge = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000
print(result(lambda: os.memfd_create('x')), result(lambda: mmap.mmap(-1, 1 << 21, huge)), sep='\\n')`;
    expect((await limited({}, source)).stdout).toBe('Operation not permitted\n'.repeat(2));
  });
  test.each(['-1', "os.open('/dev/zero', os.O_RDWR)"])(
    'names for shared memory than one (%s)',
    async (file) => {
      // By its name in /proc it is counted.
      const source = `
import mmap, os
shared = mmap.mmap(${file}, 1 << 20)
if os.fork() == 0:
    shared[0] = 7
    os._exit(0)
os.wait()
print(shared[0], [line.split(None, 5)[5] for line in open('/proc/self/maps') if line.split()[1] == 'rw-s'])`;
      expect((await limited({}, source)).stdout).toBe("7 ['/dev/zero (deleted)\\n']\n");
    },
  );
  test('processes', async () => {
    const source = `
import os, time
made = 0
try:
    for _ in range(100):
        if os.fork() == 0: time.sleep(60)
        made += 1
except BlockingIOError:
    print(made)`;
    const made = Number((await limited({ processes: 12 }, source)).stdout);
    expect(made).toBeGreaterThanOrEqual(8);
    expect(made).toBeLessThan(12);
  });
  test('threads', async () => {
    const source = `
import threading, time
made = 0
try:
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        made += 1
except RuntimeError:
    print(made, flush=True)
import os; os._exit(0)`;
    expect(Number((await limited({ processes: 12 }, source)).stdout)).toBeLessThan(12);
  });
  test('open files', async () => {
    const source = `
files = []
try:
    while True: files.append(open('/flex/program.py'))
except OSError as error:
    print(len(files))`;
    const opened = Number((await limited({ openFiles: 20 }, source)).stdout);
    expect(opened).toBeGreaterThan(8);
    expect(opened).toBeLessThanOrEqual(17);
  });
  test('of any resource than it is told, nor more by asking for it', async () => {
    const source = `
import json, resource
names = ['AS', 'CPU', 'NPROC', 'NOFILE', 'FSIZE', 'CORE', 'MEMLOCK', 'MSGQUEUE']
numbers = dict(MSGQUEUE=12)
limits = {}
for name in names:
    which = getattr(resource, 'RLIMIT_' + name, numbers.get(name))
    soft, hard = limits[name] = resource.getrlimit(which)
    try:
        resource.setrlimit(which, (hard + 1, hard + 1))
        limits[name] = 'raised'
    except (ValueError, OSError):
        pass
print(json.dumps(limits))`;
    const { stdout } = await limited(
      { cpuSeconds: 3.5, processes: 20, openFiles: 99, fileBytes: MiB },
      source,
    );
    const both = (value: number) => [value, value];
    expect(JSON.parse(stdout)).toEqual({
      AS: both(8192 * MiB),
      CPU: both(6),
      NPROC: both(20),
      NOFILE: both(99),
      FSIZE: both(MiB),
      CORE: both(0),
      MEMLOCK: both(0),
      MSGQUEUE: both(0),
    });
  });
  test('time by ignoring signals', async () => {
    const source = `
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: time.sleep(1)`;
    expect(await limited({ wallSeconds: 0.5 }, source)).toMatchObject(stoppedAt('wall'));
  });
});
