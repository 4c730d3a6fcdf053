import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { describe, expect, test } from 'vitest';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import type { Sandbox } from './box.ts';
import { groupParents } from './box-meter.ts';
import type { Mode } from './bubblewrap.ts';
import { defaultLimits } from './limits.ts';
import { probe, uncountedMemory } from './probe.ts';
import { bubblewrapSandbox, findBubblewrap } from './sandbox.ts';
import { seccompFilter } from './seccomp.ts';

const isRoot = process.getuid?.() === 0;

/**
 * Changes to a command line: arguments in a row that are left out or replaced, and some put before others.
 */
interface Leak {
  readonly drop?: readonly string[][];
  readonly replace?: readonly (readonly [readonly string[], readonly string[]])[];
  readonly mode?: Mode;
  /** A file that the box is handed. */
  readonly hands?: string;
}

/**
 * A sandbox by a bubblewrap of which a protection is left out. Each change must apply to the command line.
 */
function leaky({ drop = [], replace = [], mode = 'bubblewrap', hands = '/dev/null' }: Leak): Sandbox {
  const changes = [...drop.map((row) => [row, []]), ...replace];
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  const wrapper = join(folder, 'bwrap');
  const script = `#!/usr/bin/python3 -IS
import json, os, sys
arguments = sys.argv[1:]
for row, instead in json.loads(${JSON.stringify(JSON.stringify(changes))}):
    places = [i for i in range(len(arguments)) if arguments[i:i + len(row)] == row]
    if not places:
        sys.exit(f'{row} is not in {arguments}')
    for i in reversed(places):
        arguments[i:i + len(row)] = instead
os.set_inheritable(os.open(${JSON.stringify(hands)}, os.O_RDONLY), True)
os.execv(${JSON.stringify(findBubblewrap())}, ['bwrap', *arguments])
`;
  writeFileSync(wrapper, script, { mode: 0o755 });
  return bubblewrapSandbox(wrapper, mode, seccompFilter(process.arch));
}

const filter = ['--seccomp', '4'];
const tmp = ['--size', String(defaultLimits.fileBytes), '--perms', '1777', '--tmpfs', '/tmp'];
const shm = tmp.with(-1, '/dev/shm');
const emptyFolder = (path: string) => ['--perms', '0555', '--tmpfs', path, '--remount-ro', path];
const processors = '/sys/devices/system/cpu';
/** Puts options where the first of bubblewrap's own mounts is. */
const alsoMount = (...mount: string[]) =>
  [
    ['--proc', '/proc'],
    [...mount, '--proc', '/proc'],
  ] as const;
const privileges = [
  ...['/usr/bin/setpriv', '--reuid', '60000', '--regid', '60000', '--clear-groups', '--no-new-privs'],
  ...['--inh-caps', '-all', '--ambient-caps', '-all', '--bounding-set', '-all', '--'],
];

describe.skipIf(withoutSandbox)('the probe finds', () => {
  test('nothing wrong with a sandbox that has all its protections', async () => {
    expect(await probe(leaky({}))).toEqual([]);
  });

  test.each<[string, Leak, ...(string | RegExp)[]]>([
    [
      'a writable folder of the machine',
      { replace: [alsoMount('--bind', '/var', '/var')] },
      '/var is writable',
    ],
    ['a writable root', { drop: [['--remount-ro', '/']] }, '/ is writable'],
    ['a writable /dev', { drop: [['--remount-ro', '/dev']] }, '/dev is writable'],
    [
      'a folder of the machine among devices',
      {
        replace: [
          [
            ['--dev', '/dev'],
            ['--dev', '/dev', '--bind', '/var', '/dev/x'],
          ],
        ],
      },
      '/dev/x is writable',
    ],
    ['a /proc that is not read-only', { drop: [['--remount-ro', '/proc']] }, '/proc is writable'],
    ['an unbounded /tmp', { replace: [[tmp, ['--tmpfs', '/tmp']]] }, '/tmp is not bounded'],
    ['an unbounded /dev/shm', { replace: [[shm, ['--tmpfs', '/dev/shm']]] }, '/dev/shm is not bounded'],
    [
      'capabilities',
      {
        replace: [
          [
            ['--cap-drop', 'ALL'],
            ['--cap-add', 'CAP_NET_RAW'],
          ],
        ],
      },
      'it has capabilities (CapEff)',
      'it has capabilities (CapBnd)',
    ],
    ['variables', { replace: [alsoMount('--setenv', 'SECRET', 'x')] }, 'the environment is not empty'],
    ['an open file of the machine', { hands: '/etc/hostname' }, /it holds an open file of the harness/],
    ['a network it shares', { drop: [['--unshare-net']] }, "it shares the machine's net namespace"],
    ['System V memory it shares', { drop: [['--unshare-ipc']] }, "it shares the machine's ipc namespace"],
    [
      'a host name it shares',
      { drop: [['--unshare-uts'], ['--hostname', 'box']] },
      "it shares the machine's uts namespace",
    ],
    [
      'processes it shares',
      {
        drop: [['--unshare-pid']],
        replace: [
          [
            ['--proc', '/proc'],
            ['--ro-bind', '/proc', '/proc'],
          ],
        ],
      },
      "it shares the machine's pid namespace",
    ],
    [
      "the machine's /proc",
      {
        replace: [
          [
            ['--proc', '/proc'],
            ['--ro-bind', '/proc', '/proc'],
          ],
        ],
      },
      '/proc shows processes of another namespace',
    ],
    [
      'the lack of a filter',
      { drop: [filter] },
      'no system call filter is set',
      'AF_INET sockets can be made',
      'AF_INET6 sockets can be made',
      'AF_NETLINK sockets can be made',
      'memfd_create works',
      'ptrace works',
      'opens of files can be watched',
      'mincore works',
      'it can choose its processors',
      'vmsplice works',
      'splice works',
      'tee works',
      'huge pages of the machine can be mapped',
      'fadvise works',
      'readahead works',
      'flock works',
      'locks of files can be held',
      'leases or hints of files can be set',
      'preadv2 takes flags',
      'socket buffers can be resized',
      'the times of devices can be changed',
    ],
    ['user namespaces', { drop: [filter, ['--disable-userns']] }, 'user namespaces can be made'],
    ["a folder of the machine's data", { replace: [alsoMount('--ro-bind', '/var', '/var')] }, '/var is seen'],
    ['counters of the machine', { drop: [emptyFolder('/proc/sys')] }, '/proc/sys is seen'],
    ['terminals', { drop: [emptyFolder('/dev/pts')] }, 'terminals can be made'],
    [
      "the machine's number of processors",
      {
        replace: [
          [[`${processors}/online`], [`${processors}/elsewhere`]],
          [['/proc/stat'], ['/etc/stat']],
        ],
      },
      'it sees how many processors the machine has',
    ],
    ['a user without a name', { replace: [[['/etc/passwd'], ['/etc/nobody']]] }, 'its user has no name'],
    [
      'processes without number',
      { replace: [[['--nproc=256'], ['--nproc=4000']]] },
      'more than 256 processes can be made',
    ],
    [
      'a program that cannot be started',
      { replace: [[['/usr/bin/prlimit'], ['/nowhere']]] },
      /^a box could not be made: .*\/nowhere/,
    ],
  ])('%s', async (_, leak, ...complaints) => {
    const found = await probe(leaky(leak));
    for (const complaint of complaints) {
      expect(found).toContainEqual(
        typeof complaint === 'string' ? complaint : expect.stringMatching(complaint),
      );
    }
  });

  test.runIf(isRoot)('a program that is root, and what root can do', async () => {
    const sandbox = leaky({
      mode: 'bubblewrap-as-root',
      drop: [privileges, ['--remount-ro', '/proc'], emptyFolder('/proc/sys')],
    });
    const found = await probe({ ...sandbox, open: (options) => sandbox.open({ ...options, lane: 0 }) });
    expect(found).toEqual(
      expect.arrayContaining([
        "its program runs as the machine's root",
        'it has capabilities (CapBnd)',
        '/proc is writable',
        '/proc/sys/kernel/core_pattern can be opened for writing',
        // The kernel does not count root's.
        'more than 256 processes can be made',
      ]),
    );
  });

  test.runIf(isRoot)('processes whose memory is hidden from the harness', () => {
    const script = `
      import { probe } from '${import.meta.dirname}/probe.ts';
      import { bubblewrapSandbox, findBubblewrap } from '${import.meta.dirname}/sandbox.ts';
      import { seccompFilter } from '${import.meta.dirname}/seccomp.ts';
      const groups = { memory: null, time: null };
      const found = ['bubblewrap', 'bubblewrap-as-root'].map((mode) =>
        probe(bubblewrapSandbox(findBubblewrap(), mode, seccompFilter(process.arch), groups)));
      console.log(JSON.stringify(await Promise.all(found)));`;
    const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script];
    const { stdout, stderr } = spawnSync('/usr/bin/setpriv', ['--bounding-set', '-sys_ptrace', ...node], {
      encoding: 'utf8',
      cwd: import.meta.dirname,
    });
    expect([stdout, stderr]).toEqual([`${JSON.stringify([[uncountedMemory], [uncountedMemory]])}\n`, '']);
  });

  test.runIf(isRoot && groupParents().memory !== null)(
    'no control groups, where the harness sees nothing but these: a box starts in them',
    () => {
      const reserves = 'import mmap, time; x = mmap.mmap(-1, 4 << 30); time.sleep(0.5)';
      const script = `
        import { bubblewrapSandbox, findBubblewrap } from '${import.meta.dirname}/sandbox.ts';
        import { seccompFilter } from '${import.meta.dirname}/seccomp.ts';
        import { defaultLimits as limits } from '${import.meta.dirname}/limits.ts';
        const sandbox = bubblewrapSandbox(findBubblewrap(), 'bubblewrap', seccompFilter(process.arch));
        const box = sandbox.open({ command: ['/usr/bin/python3', '-c', '${reserves}'], limits, lane: 0 });
        const { code, stopped } = await box.ended;
        console.log(JSON.stringify([code, stopped]));`;
      const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script];
      const { stdout, stderr } = spawnSync('/usr/bin/setpriv', ['--bounding-set', '-sys_ptrace', ...node], {
        encoding: 'utf8',
        cwd: import.meta.dirname,
      });
      expect([stdout, stderr]).toEqual(['[0,null]\n', '']);
    },
  );

  test('bubblewrap that cannot make a namespace', async () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o755);
    const bwrap = join(folder, 'bwrap');
    writeFileSync(bwrap, '#!/bin/sh\necho "bwrap: setting up uid map: Permission denied" >&2\nexit 1\n', {
      mode: 0o755,
    });
    const sandbox = bubblewrapSandbox(bwrap, 'bubblewrap', Buffer.alloc(0));
    expect(await probe(sandbox)).toEqual([
      'a box could not be made: bwrap: setting up uid map: Permission denied',
    ]);
  });
  test('bubblewrap that cannot be run', async () => {
    const sandbox = bubblewrapSandbox('/nowhere/bwrap', 'bubblewrap', Buffer.alloc(0));
    expect(await probe(sandbox)).toEqual([
      expect.stringMatching(/^\/nowhere\/bwrap cannot be started: .*ENOENT/),
    ]);
  });

  test('limits of time that are not kept', async () => {
    const real = leaky({});
    const sandbox: Sandbox = {
      ...real,
      open({ limits, ...options }) {
        const command = limits.wallSeconds < 1 ? ['/usr/bin/sleep', '0.3'] : options.command;
        return real.open({ ...options, command, limits: { ...limits, wallSeconds: 10 } });
      },
    };
    expect(await probe(sandbox)).toEqual(['a sleeping box was not stopped in time']);
  });
  test('programs that it cannot see', async () => {
    const real = leaky({});
    const sandbox: Sandbox = {
      ...real,
      open: (options) =>
        real.open({ ...options, command: options.lane === 2 ? ['/usr/bin/true'] : options.command }),
    };
    expect(await probe(sandbox)).toEqual(['its program cannot be seen from outside']);
  });
});

describe.skipIf(process.platform !== 'linux' || !isRoot)('the look from inside, outside of any box', () => {
  test('finds everything wrong', () => {
    const kinds = ['ipc', 'mnt', 'net', 'pid', 'user', 'uts'];
    const namespaces = Object.fromEntries(kinds.map((kind) => [kind, readlinkSync(`/proc/self/ns/${kind}`)]));
    // As a user who owns nothing, so that whatever it tries to write is refused.
    const { stdout, stderr } = spawnSync(
      '/usr/bin/python3',
      ['-I', '-S', '-', String(2 ** 20), '8', JSON.stringify(namespaces), '4096', '["/usr", "/nowhere"]'],
      {
        input: readFileSync(new URL('probe.py', import.meta.url)),
        uid: 61_234,
        gid: 61_234,
        encoding: 'utf8',
      },
    );
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual(
      expect.arrayContaining([
        'it has capabilities (CapBnd)',
        'no_new_privs is not set',
        'no system call filter is set',
        '/ is writable',
        '/tmp is not bounded',
        'the environment is not empty',
        ...kinds.map((kind) => `it shares the machine's ${kind} namespace`),
        'AF_INET sockets can be made',
        'memfd_create works',
        'ptrace works',
        '/usr is seen',
        'it sees how many processors the machine has',
        expect.stringMatching(/^its user has (?:no name|another home)/),
        'more than 8 processes can be made',
      ]),
    );
  });
});
