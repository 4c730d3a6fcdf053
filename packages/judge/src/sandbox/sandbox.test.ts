import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { SandboxError } from '../errors.ts';
import { python } from '../testing/boxed.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import { boxProcessors } from './bubblewrap.ts';
import { defaultLimits } from './limits.ts';
import { probe } from './probe.ts';
import { type RunProgram, run } from './run.ts';
import { bubblewrapSandbox, findBubblewrap, openSandbox } from './sandbox.ts';
import { seccompFilter } from './seccomp.ts';
import { type Architecture, denied, ignored } from './system-calls.ts';

/** What a program that prints JSON finds in its box. */
async function find<T>(program: RunProgram): Promise<T> {
  const end = await run(program);
  expect(end, end.stderr).toMatchObject({ code: 0, stopped: null, stderr: '' });
  return JSON.parse(end.stdout) as T;
}

test('without bwrap on the PATH there is one line that says what to install', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'bwrap'), 'no program', { mode: 0o644 });
  mkdirSync(join(folder, 'file'));
  for (const path of ['', folder, `/nowhere:${folder}`, join(folder, 'bwrap')]) {
    expect(() => findBubblewrap(path)).toThrow(SandboxError);
    expect(() => findBubblewrap(path)).toThrow(/^[^\n]*apt-get install bubblewrap[^\n]*$/);
  }
});

test('the first bwrap of the PATH that can be run is taken', () => {
  const [first, second] = [temporaryFolder(), temporaryFolder()];
  writeFileSync(join(second, 'bwrap'), '', { mode: 0o755 });
  expect(findBubblewrap(`${first}:${second}:/usr/bin`)).toBe(join(second, 'bwrap'));
});

describe.skipIf(withoutSandbox)('a box', () => {
  test('is made by bubblewrap, which the probe finds safe', async () => {
    expect((await openSandbox()).mode).toBe('bubblewrap');
    expect(await openSandbox()).toBe(await openSandbox());
  });

  test('shows its program /usr, some of /etc, and the given files', async () => {
    const secret = join(temporaryFolder(), 'secret');
    writeFileSync(secret, 'of the host', { mode: 0o644 });
    const bytes = randomBytes(70_000);
    const { files, command } = python(
      `
import hashlib, json, os, sys
given = open('/flex/data', 'rb').read()
print(json.dumps({
    'root': sorted(os.listdir('/')),
    'etc': sorted(os.listdir('/etc')),
    'flex': sorted(os.listdir('/flex')),
    'tmp': os.listdir('/tmp'),
    'cwd': os.getcwd(),
    'data': hashlib.sha256(given).hexdigest(),
    'empty': os.path.getsize('/flex/deep/empty'),
    'secret': os.path.exists(sys.argv[1]),
}))`,
      secret,
    );
    const seen = await find<Record<string, unknown>>({
      command,
      files: { ...files, '/flex/data': bytes, '/flex/deep/empty': '' },
    });
    expect(seen).toEqual({
      root: expect.not.arrayContaining(['home', 'root', 'run', 'var', 'opt', 'mnt', 'srv', 'boot']),
      etc: expect.not.arrayContaining(['shadow', 'ssl', 'hostname', 'resolv.conf']),
      flex: ['data', 'deep', 'program.py'],
      tmp: [],
      cwd: '/tmp',
      data: createHash('sha256').update(bytes).digest('hex'),
      empty: 0,
      secret: false,
    });
    const known = [
      'bin',
      'dev',
      'etc',
      'flex',
      'lib',
      'lib32',
      'lib64',
      'libx32',
      'proc',
      'sbin',
      'sys',
      'tmp',
      'usr',
    ];
    expect((seen.root as string[]).filter((name) => !known.includes(name))).toEqual([]);
    expect(JSON.stringify(seen.etc)).not.toContain('ssh');
  });

  test('has no variable of the harness', async () => {
    process.env.FLEX_SECRET = 'x';
    onTestFinished(() => void delete process.env.FLEX_SECRET);
    const { stdout } = await run({ command: ['/usr/bin/env'] });
    expect(stdout).toMatch(/^PATH=\/usr\/local\/bin:\/usr\/bin:\/bin$/m);
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => line.split('=')[0]);
    // The last three are of a shell.
    const allowed = ['PATH', 'LANG', 'HOME', 'PWD', 'OLDPWD', 'SHLVL', '_'];
    expect(names.filter((name) => !allowed.includes(name))).toEqual([]);
  });

  test('has no open file of the harness, those included that the harness was started with', async () => {
    const program = `
import json, os
def target(fd):
    try:
        return os.readlink(f'/proc/self/fd/{fd}')
    except OSError:
        return '/dev/null'
print(json.dumps(sorted({target(fd) for fd in os.listdir('/proc/self/fd') if int(fd) > 2})))`;
    expect(await find<string[]>(python(program))).toEqual(['/dev/null']);
  });

  test('shows no process but its own', async () => {
    const seen = await find<Record<string, string>>(
      python(`
import json, os
pids = [pid for pid in os.listdir('/proc') if pid.isdigit()]
print(json.dumps({pid: open(f'/proc/{pid}/comm').read().strip() for pid in pids}))`),
    );
    expect(Object.keys(seen).length).toBeLessThanOrEqual(3);
    expect(seen['1']).toBe('bwrap');
    expect(Object.values(seen).filter((name) => name.startsWith('python'))).toHaveLength(1);
  });

  test('can be written to nowhere but in /tmp and /dev/shm', async () => {
    const written = await find<{ made: string[]; opened: string[]; changed: string[] }>(
      python(`
import json, os
def works(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return False
    return True
def folders(top, depth):
    yield top
    if depth and not top.startswith('/proc/'):
        for entry in os.scandir(top):
            if entry.is_dir(follow_symlinks=False):
                try:
                    yield from folders(entry.path, depth - 1)
                except PermissionError:
                    pass
made = [d for d in folders('/', 3) if works(lambda: open(os.path.join(d, 'x'), 'w').close())]
proc = ['self/comm', 'self/oom_score_adj', 'self/uid_map', 'sys/kernel/core_pattern', 'sysrq-trigger',
        'sys/vm/drop_caches', 'sys/kernel/hostname', 'self/attr/current', 'self/setgroups']
opened = [path for path in proc if works(open, '/proc/' + path, 'w')]
changed = [action.__name__ for action, arguments in [
    (os.unlink, ('/flex/program.py',)), (os.rename, ('/flex/program.py', '/flex/x')),
    (os.chmod, ('/flex/program.py', 0o777)), (os.mkdir, ('/flex/x',)), (os.symlink, ('/', '/flex/x')),
    (os.mkdir, ('/x',)), (os.rename, ('/usr', '/tmp/usr')), (os.chroot, ('/tmp',)),
    (os.chown, ('/tmp', 0, 0)), (os.setuid, (0,)), (os.setgid, (0,)), (os.setgroups, ([0],)),
] if works(action, *arguments)]
print(json.dumps({'made': sorted(made), 'opened': opened, 'changed': changed}))`),
    );
    expect(written).toEqual({ made: ['/dev/shm', '/tmp'], opened: [], changed: [] });
  });

  test('begins empty, whatever another box of the same lane left', async () => {
    const program = python(`
import os
print(os.listdir('/tmp'), os.listdir('/dev/shm'))
open('/tmp/left', 'w').close(); open('/dev/shm/left', 'w').close()`);
    await run(program);
    expect((await run(program)).stdout).toBe('[] []\n');
  });

  test('has no network, loopback to the machine and abstract sockets included', async () => {
    const server = createServer((socket) => socket.end('reached'));
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const name = `flex-${process.pid}-${Date.now()}`;
    const abstract = spawn('/usr/bin/python3', ['-I', '-S', '-c', listenAbstract, name]);
    onTestFinished(() => void abstract.kill('SIGKILL'));
    await new Promise((resolve) => abstract.stdout.once('data', resolve));

    // The same program outside reaches both: what stops it inside is the box.
    const args = [String(port), name];
    const outside = spawn('/usr/bin/python3', ['-I', '-S', '-c', connect, ...args]);
    const said = await outside.stdout.toArray();
    expect(JSON.parse(Buffer.concat(said).toString())).toEqual(['reached', 'reached', 'made', 'made']);
    expect(await find(python(connect, ...args))).toEqual([
      'PermissionError',
      'ConnectionRefusedError',
      'PermissionError',
      'PermissionError',
    ]);
  });

  test('is given its standard input whole', async () => {
    const input = randomBytes(2 ** 20);
    const program = python('import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())');
    const { stdout } = await run({ ...program, stdin: input });
    expect(stdout.trim()).toBe(createHash('sha256').update(input).digest('hex'));
  });
  test('may leave its standard input unread', async () => {
    const end = await run({ command: ['/usr/bin/true'], stdin: randomBytes(4 * 2 ** 20) });
    expect(end).toMatchObject({ code: 0, stopped: null });
  });
  test('may close its standard input and output and go on', async () => {
    const program = python('import os, time; os.close(0); os.close(1); time.sleep(0.2); os._exit(5)');
    expect(await run({ ...program, stdin: randomBytes(2 ** 20) })).toMatchObject({ code: 5, stopped: null });
  });

  test('gives its output byte by byte as it was written', async () => {
    const sandbox = await openSandbox();
    const chunks: Buffer[] = [];
    const program = python('import os; os.write(1, bytes(range(256)) * 300); os.write(2, b"\\xff\\x00")');
    const box = sandbox.open({
      ...program,
      limits: defaultLimits,
      lane: 0,
      onOutput: (chunk) => chunks.push(chunk),
    });
    const end = await box.ended;
    expect(Buffer.concat(chunks)).toEqual(Buffer.from(Array.from({ length: 256 * 300 }, (_, i) => i % 256)));
    expect(end).toMatchObject({ stdout: '', stderr: '\ufffd\0' });
  });
  test('tells the exit code, and 128 + n for a program that signal n ended', async () => {
    const codeOf = async (source: string) => (await run(python(source))).code;
    expect(await codeOf('raise SystemExit(7)')).toBe(7);
    expect(await codeOf('import os; os.kill(os.getpid(), 9)')).toBe(137);
    expect(await codeOf('import os; os.abort()')).toBe(134);
  });
  test('whose program does not exist ends with code 127', async () => {
    expect(await run({ command: ['/nowhere'] })).toMatchObject({ code: 127, stopped: null });
  });

  test.runIf(process.arch === 'x64')('kills a program that makes a 32-bit system call', async () => {
    // int 0x80 is a 32-bit call even from a 64-bit program: mov eax, 20 (getpid); int 0x80; ret.
    const program = python(`
import ctypes, mmap
code = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 7)
code.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))
function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
print('before', flush=True)
print(function())`);
    expect(await run(program)).toMatchObject({ code: 159, stdout: 'before\n' });
  });

  test.runIf(process.getuid?.() === 0)(
    'of the mode for root without user namespaces is safe too',
    async () => {
      const sandbox = bubblewrapSandbox(findBubblewrap(), 'bubblewrap-as-root', seccompFilter(process.arch));
      const program = python(
        'import os; print(os.getuid(), os.getgid(), os.getgroups(), os.listdir("/flex"))',
      );
      const box = sandbox.open({ ...program, limits: defaultLimits, lane: 3 });
      expect(await box.ended).toMatchObject({
        code: 0,
        stderr: '',
        stdout: "60003 60003 [] ['program.py']\n",
      });
      expect(await probe(sandbox)).toEqual([]);
    },
  );

  test('makes no call that is refused, and none that is ignored', async () => {
    const tables = [denied, ignored].map((table) => table[process.arch as Architecture]);
    const program = `
import ctypes, json, sys
library = ctypes.CDLL(None, use_errno=True)
def result(number):
    ctypes.set_errno(0)
    return library.syscall(number, *[ctypes.c_long(-1)] * 6), ctypes.get_errno()
tables = map(json.loads, sys.argv[1:])
refused, ignored = [{name: result(nr) for name, nr in table.items()} for table in tables]
print(json.dumps([
    [name for name, found in refused.items() if found != (-1, 1)],
    [name for name, found in ignored.items() if found != (0, 0)]
]))`;
    expect(await find(python(program, ...tables.map((table) => JSON.stringify(table))))).toEqual([[], []]);
  });

  test('leaves no lock, lease, hint, time or watch on a file that others see', async () => {
    const program = python(`
import ctypes, fcntl, json, os, struct
def result(action, *arguments):
    try:
        return action(*arguments)
    except OSError as error:
        return os.strerror(error.errno)
def both(lock):
    return [lock(open('/usr/bin/env', 'rb')) for _ in range(2)]
one = open('/usr/bin/env', 'rb')
before = os.stat('/dev/null').st_mtime_ns
os.utime('/dev/null')
library = ctypes.CDLL(None, use_errno=True)
print(json.dumps({
    'flock': both(lambda file: result(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)),
    'hint': [result(fcntl.fcntl, one, command, struct.pack('Q', 2)) for command in (1036, 1038)],
    'lease': result(fcntl.fcntl, one, fcntl.F_SETLEASE, fcntl.F_RDLCK),
    'notice': result(fcntl.fcntl, os.open('/usr/bin', os.O_RDONLY), fcntl.F_NOTIFY, fcntl.DN_ACCESS),
    'pipe': result(fcntl.fcntl, os.pipe()[0], fcntl.F_SETPIPE_SZ, 1 << 20),
    'flags': result(fcntl.ioctl, one, 0x80086601, bytes(8)),
    'touched': os.stat('/dev/null').st_mtime_ns != before,
    'now': result(os.preadv, one.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT),
    'later': result(os.preadv, one.fileno(), [bytearray(1)], 0),
    'copied': result(os.sendfile, os.open('/tmp/x', os.O_CREAT | os.O_WRONLY), one.fileno(), 0, 9),
    'affinity': result(os.sched_setaffinity, 0, [0]),
}))`);
    const refused = 'Operation not permitted';
    expect(await find(program)).toEqual({
      flock: [null, null],
      hint: [refused, refused],
      lease: refused,
      notice: refused,
      pipe: refused,
      flags: 'Inappropriate ioctl for device',
      touched: false,
      now: 'Operation not supported',
      later: 1,
      copied: 'Invalid argument',
      affinity: refused,
    });
  });

  test('lets programs lock, copy and share memory as ever', async () => {
    const program = python(`
import fcntl, json, multiprocessing, os, shutil, sqlite3, tempfile
with tempfile.TemporaryDirectory() as folder:
    shutil.copytree(os.path.dirname(json.__file__), folder + '/copy')
    copied = sorted(os.listdir(folder + '/copy')) == sorted(os.listdir(os.path.dirname(json.__file__)))
    base = sqlite3.connect(folder + '/base')
    base.execute('create table t (x)')
    with base:
        base.execute('insert into t values (7)')
    row = sqlite3.connect(folder + '/base').execute('select x from t').fetchone()
number = multiprocessing.Value('i', 0)
def add():
    with number.get_lock():
        number.value += 1
children = [multiprocessing.Process(target=add) for _ in range(4)]
for child in children: child.start()
for child in children: child.join()
print(json.dumps([copied, row, number.value]))`);
    expect(await find(program)).toEqual([true, [7], 4]);
  });

  test('names its user, and has the same processors on every machine', async () => {
    const program = python(`
import getpass, grp, json, os, pwd
print(json.dumps([
    getpass.getuser(), pwd.getpwuid(os.getuid())[5], os.path.expanduser('~'), grp.getgrgid(os.getgid())[0],
    os.cpu_count(), os.sysconf('SC_NPROCESSORS_CONF'),
]))`);
    expect(await find(program)).toEqual(['nobody', '/tmp', '/tmp', 'nogroup', boxProcessors, boxProcessors]);
    expect((await run({ command: ['/usr/bin/getconf', '_NPROCESSORS_ONLN'] })).stdout).toBe(
      `${boxProcessors}\n`,
    );
    const node = { command: ['/usr/bin/env', 'node', '-p', 'os.cpus().length'] };
    const sandbox = await openSandbox();
    const box = sandbox.open({ ...node, limits: { ...defaultLimits, addressSpaceBytes: null }, lane: 0 });
    expect(await box.ended).toMatchObject({ code: 0, stdout: `${boxProcessors}\n`, stderr: '' });
  });

  test('leaves nothing in the temporary folder of the machine', async () => {
    const before = readdirSync('/tmp').filter((name) => name.includes('bind'));
    await run(python(''));
    expect(readdirSync('/tmp').filter((name) => name.includes('bind'))).toEqual(before);
  });
});

const listenAbstract = `
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind('\\0' + sys.argv[1])
server.listen()
print('ready', flush=True)
while True:
    client, _ = server.accept()
    client.sendall(b'reached')
    client.close()
`;

/** Tries to reach a server on a port of 127.0.0.1 and one of an abstract name, and to make other sockets. */
const connect = `
import json, socket, sys
def reach(family, address):
    client = socket.socket(family)
    client.connect(address)
    return client.recv(100).decode()
def result(action, *arguments):
    try:
        return action(*arguments)
    except OSError as error:
        return type(error).__name__
def made(*arguments):
    socket.socket(*arguments)
    return 'made'
print(json.dumps([
    result(reach, socket.AF_INET, ('127.0.0.1', int(sys.argv[1]))),
    result(reach, socket.AF_UNIX, '\\0' + sys.argv[2]),
    result(made, socket.AF_INET6, socket.SOCK_DGRAM),
    result(made, socket.AF_NETLINK, socket.SOCK_RAW),
]))`;
