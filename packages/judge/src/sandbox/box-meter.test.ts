import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { python } from '../testing/boxed.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import type { Box, BoxEnd } from './box.ts';
import { groupParents } from './box-meter.ts';
import { ownGroups } from './control-groups.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { processTree } from './process-tree.ts';
import { bubblewrapSandbox, findBubblewrap } from './sandbox.ts';
import { seccompFilter } from './seccomp.ts';

const MiB = 2 ** 20;
const byProc = { memory: null, time: null };
const found = withoutSandbox ? byProc : groupParents();
const hasGroups = found.memory !== null && found.time !== null;

describe
  .skipIf(withoutSandbox)
  .each([{ by: '/proc', groups: byProc }, ...(hasGroups ? [{ by: 'control groups', groups: found }] : [])])(
  'a box counted by $by',
  ({ groups }) => {
    const open = (limits: Partial<Limits>, source: string): Box => {
      const sandbox = bubblewrapSandbox(findBubblewrap(), 'bubblewrap', seccompFilter(process.arch), groups);
      return sandbox.open({ ...python(source), limits: { ...defaultLimits, ...limits }, lane: 0 });
    };
    const limited = (limits: Partial<Limits>, source: string): Promise<BoxEnd> => open(limits, source).ended;
    const holdsTooMuch = { stopped: 'memory', code: null, signal: null };

    test.each<[string, string]>([
      [
        'pages of several processes',
        `
for _ in range(4):
    if os.fork() == 0:
        data = os.urandom(1 << 20) * 60
        time.sleep(60)`,
      ],
      [
        'pages of a process whose first thread has ended',
        `
def hold():
    time.sleep(0.2)
    data = os.urandom(1 << 20) * 240
    time.sleep(60)
threading.Thread(target=hold).start()
ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[os.uname().machine], 0)`,
      ],
      [
        'pages of a process that hides from others of its user',
        `
ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE
data = os.urandom(1 << 20) * 240`,
      ],
      [
        'page tables of memory that is only read',
        `
for _ in range(20):
    if os.fork() == 0:
        space = mmap.mmap(-1, 6 << 30, mmap.MAP_PRIVATE, mmap.PROT_READ)
        for i in range(4096, 6 << 30, 2 << 20): space[i]
        time.sleep(60)`,
      ],
      [
        'buffers of sockets',
        `
for _ in range(10):
    if os.fork() == 0:
        pairs = []
        for _ in range(120):
            pairs.append(socket.socketpair())
            pairs[-1][0].setblocking(False)
            try:
                while True: pairs[-1][0].send(bytes(32768))
            except BlockingIOError: pass
        time.sleep(60)`,
      ],
      [
        'messages of sockets that are closed',
        `
for k in range(4):
    if os.fork() == 0:
        receivers = []
        for i in range(60):
            receivers.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            receivers[-1].bind(f'\\0{k}-{i}')
            for _ in range(10):
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                    sender.connect(f'\\0{k}-{i}')
                    sender.setblocking(False)
                    try: sender.send(bytes(150000))
                    except BlockingIOError: pass
        time.sleep(60)`,
      ],
      [
        'mappings without number',
        `
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
start = libc.mmap(None, 60000 * 4096, 1, 0x22, -1, 0)
for i in range(0, 60000, 2): libc.mprotect(start + i * 4096, 4096, 3)
for _ in range(40):
    if os.fork() == 0: time.sleep(60)`,
      ],
      [
        'mappings that many generations copied',
        `
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
for i in range(2000): ctypes.memset(libc.mmap(None, 4096, 3 + i % 2 * 4, 0x22, -1, 0), 1, 1)
for _ in range(80):
    if os.fork(): time.sleep(60)`,
      ],
      [
        'pipes',
        `
for _ in range(90):
    if os.fork() == 0:
        for _ in range(240):
            end, other = os.pipe()
            os.set_blocking(other, False)
            try:
                while True: os.write(other, bytes(4096))
            except BlockingIOError: os.close(other)
        time.sleep(60)`,
      ],
    ])('is stopped for %s', async (_, source) => {
      const end = await limited(
        { memoryBytes: 200 * MiB, wallSeconds: 10, cpuSeconds: 60 },
        `import ctypes, mmap, os, socket, threading, time\n${source}\ntime.sleep(60)`,
      );
      // A control group refuses the kernel's own memory, sockets' and page tables', before it kills anything.
      expect(groups.memory ? ['memory', 'wall'] : ['memory']).toContain(end.stopped);
      expect(end.memoryBytes).toBeGreaterThan((end.stopped === 'wall' ? 150 : 190) * MiB);
      // By /proc sockets count with full buffers, however many are there at the first look.
      expect(end.memoryBytes).toBeLessThan(700 * MiB);
    });

    test('is stopped for files that are empty', async () => {
      const source = 'import os\nfor i in range(100000): os.mknod(f"/tmp/{i}")\nos.read(0, 1)';
      expect(await limited({ memoryBytes: 50 * MiB }, source)).toMatchObject(holdsTooMuch);
    });

    test.each<[string, string]>([
      [
        'pages that forks share',
        `
data = bytearray(os.urandom(1 << 20)) * 120
children = [os.fork() or child(lambda: (time.sleep(0.4), sum(data[::4096]))) for _ in range(6)]
for _ in children: assert os.wait()[1] == 0`,
      ],
      [
        'one memory while it starts others',
        `
data = os.urandom(1 << 20) * 120
for _ in range(40): subprocess.run(['/bin/true'], check=True)`,
      ],
      [
        'a hundred threads',
        `
threads = [threading.Thread(target=time.sleep, args=(0.3,)) for _ in range(100)]
for thread in threads: thread.start()
for thread in threads: thread.join()`,
      ],
      [
        'threads with a stack of a gibibyte',
        `
threading.stack_size(1 << 30)
threads = [threading.Thread(target=time.sleep, args=(0.3,)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()`,
      ],
      [
        'a pool of fifty processes',
        `
with multiprocessing.Pool(50) as pool: assert sum(pool.map(abs, range(1000))) == 499500`,
      ],
    ])('may have %s', async (_, source) => {
      const head = `
import multiprocessing, os, subprocess, threading, time
def child(act):
    act()
    os._exit(0)`;
      const limits = { memoryBytes: 250 * MiB, wallSeconds: 40, cpuSeconds: 40 };
      expect(await limited(limits, head + source)).toMatchObject({ code: 0, stopped: null, stderr: '' });
    });

    test('never holds much more than its limit, however fast it takes it', async () => {
      const source = `
import os
for _ in range(8):
    if os.fork() == 0: break
data = []
while True: data.append(bytes([1]) * (1 << 20))`;
      const end = await limited({ wallSeconds: 60, cpuSeconds: 60 }, source);
      expect(end).toMatchObject(holdsTooMuch);
      expect(end.memoryBytes).toBeLessThan(1750 * MiB);
    });

    test.skipIf(groups.memory === null)(
      'is stopped for what a process holds that its groups have lost',
      async () => {
        const source = `
import os, time
if os.fork() == 0:
    os.read(0, 1)
    data = os.urandom(1 << 20) * 400
time.sleep(60)`;
        const box = open({ memoryBytes: 200 * MiB, wallSeconds: 20 }, source);
        const child = await vi.waitFor(() => {
          const [, , , found] = processTree(box.pid as number);
          expect(readFileSync(`/proc/${found}/cgroup`, 'utf8')).toContain('flex-');
          return found;
        }, 10_000);
        for (const { folder } of ownGroups()) writeFileSync(join(folder, 'cgroup.procs'), String(child));
        box.write('x');
        const end = await box.ended;
        expect(end).toMatchObject(holdsTooMuch);
        expect(end.memoryBytes).toBeLessThan(700 * MiB);
      },
    );

    test('is stopped at its processor seconds, which its processes share', async () => {
      const burning = `
import os, time
for _ in range(4):
    if os.fork() == 0:
        while time.process_time() < 0.25: pass
        time.sleep(60)
time.sleep(60)`;
      const end = await limited({ cpuSeconds: 0.6, wallSeconds: 30 }, burning);
      expect(end).toMatchObject({ stopped: 'cpu', code: null });
      expect(end.cpuSeconds).toBeGreaterThan(0.6);
    });

    test('is stopped at its processor seconds, used by children that nobody waits for', async () => {
      const burning = `
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        while time.process_time() < 0.3: pass
        os._exit(0)
    try: os.wait()
    except ChildProcessError: pass`;
      expect(await limited({ cpuSeconds: 1.2, wallSeconds: 15 }, burning)).toMatchObject({ stopped: 'cpu' });
    });

    test('is not charged twice for children that it waits for', async () => {
      const burning = `
import os, time
def burn():
    while time.process_time() < 0.02: pass
    os._exit(0)
start = time.perf_counter()
for _ in range(50):
    os.waitpid(os.fork() or burn(), 0)
print(sum(os.times()[:4]))`;
      const { stdout, cpuSeconds } = await limited({ wallSeconds: 40 }, burning);
      expect(cpuSeconds).toBeLessThan(1.2 * Number(stdout) + 0.1);
    });

    test('ends soon when it makes as many processes or threads as it can', async () => {
      const processes = 'import os\nwhile True:\n    try: os.fork()\n    except OSError: pass';
      const threads = `
import threading
def go():
    while True: pass
while True:
    try: threading.Thread(target=go).start()
    except RuntimeError: pass`;
      const before = process.cpuUsage();
      for (const source of [processes, threads]) {
        const { stopped, seconds } = await limited({ wallSeconds: 2 }, source);
        expect(stopped).toMatch(/wall|memory/);
        expect(seconds).toBeLessThan(12);
      }
      const { user, system } = process.cpuUsage(before);
      // Looking at 256 processes leaves the harness time for others.
      expect((user + system) / 1e6).toBeLessThan(2);
    });

    test('is the first that the kernel gives up', async () => {
      const { stdout } = await limited({}, "print(open('/proc/self/oom_score_adj').read())");
      expect(stdout.trim()).toBe('1000');
    });
  },
);

test.skipIf(found.memory === null)(
  'that the kernel kills in one box says nothing about another',
  async () => {
    const boxes = [byProc, found].map((groups) =>
      bubblewrapSandbox(findBubblewrap(), 'bubblewrap', seccompFilter(process.arch), groups),
    );
    const [kills, greedy] = [
      'import os\nos.read(0, 1)\nos.kill(os.getpid(), 9)',
      'import time\ntime.sleep(0.4)\ndata = bytes([1]) * (400 << 20)\ntime.sleep(60)',
    ].map((source, i) =>
      boxes[i].open({ ...python(source), limits: { ...defaultLimits, memoryBytes: 200 * MiB }, lane: i }),
    );
    expect(await greedy.ended).toMatchObject({ stopped: 'memory' });
    kills.write('x');
    expect(await kills.ended).toMatchObject({ stopped: null, code: 137 });
  },
);
