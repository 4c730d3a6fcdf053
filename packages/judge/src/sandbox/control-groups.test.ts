import { fork } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { python } from '../testing/boxed.ts';
import { openMemoryGroup } from '../testing/memory-group.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import { groupParents } from './box-meter.ts';
import { findGroupParents, groupsOf, withMemory } from './control-groups.ts';
import { defaultLimits } from './limits.ts';
import { limitsOfGroup } from './memory-budget.ts';
import { openSandbox } from './sandbox.ts';

const v1 = '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory';
const v2 = '41 31 0:38 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate';

describe('the control groups of a process', () => {
  test('of version 1 are found by their controllers', () => {
    expect(groupsOf('4:memory:/a/b\n3:cpu,cpuacct:/c\n', `${v1}\n`)).toEqual([
      {
        version: 1,
        folder: '/sys/fs/cgroup/memory/a/b',
        mount: '/sys/fs/cgroup/memory',
        controllers: ['rw', 'memory'],
      },
    ]);
  });
  test('of version 2 are found by their line, which names none', () => {
    const found = groupsOf('4:memory:/a\n0::/user.slice/x.scope\n', v2);
    expect(found).toMatchObject([{ version: 2, folder: '/sys/fs/cgroup/user.slice/x.scope' }]);
    expect(groupsOf('0::/\n', v2)).toMatchObject([{ folder: '/sys/fs/cgroup', mount: '/sys/fs/cgroup' }]);
  });
  test('that are mounted from within lie that much higher', () => {
    const inner = v1.replace(' / /', ' /docker/1 /');
    expect(groupsOf('4:memory:/docker/1/x\n', inner)).toMatchObject([{ folder: '/sys/fs/cgroup/memory/x' }]);
    expect(groupsOf('4:memory:/docker/1\n', inner)).toMatchObject([{ folder: '/sys/fs/cgroup/memory' }]);
  });
  test.each([
    ['that are mounted elsewhere', '4:memory:/docker/2\n', v1.replace(' / /', ' /docker/1 /')],
    ['with a name like theirs', '4:memory:/docker/12\n', v1.replace(' / /', ' /docker/1 /')],
    ['of another namespace', '0::/../x\n', v2],
    ['that have no line', '3:cpu:/\n', v1],
    ['that are no groups', '4:memory:/\n', '22 1 0:20 / /proc rw - proc proc rw'],
  ])('%s are not found', (_, cgroup, mountinfo) => {
    expect(groupsOf(cgroup, mountinfo)).toEqual([]);
  });
});

/** A group with files of these contents; `parent/…` are those of the group above. */
function group(files: Readonly<Record<string, string>>) {
  const mount = temporaryFolder();
  const folder = join(mount, 'parent', 'own');
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(mount, name.startsWith('parent/') ? name : `parent/own/${name}`), text);
  }
  return { version: 2 as const, folder, mount, controllers: [] };
}

describe('memory is counted by version 2', () => {
  const inUse = { 'cgroup.controllers': 'cpu memory\n', 'cgroup.type': 'domain\n', 'cgroup.procs': '1\n' };
  const shared = { ...inUse, 'cgroup.subtree_control': '', 'parent/cgroup.subtree_control': 'cpu memory\n' };

  test('in the own group where its children have the controller', () => {
    const own = group({ ...inUse, 'cgroup.subtree_control': 'memory\n' });
    expect(withMemory(own)).toEqual([{ version: 2, folder: own.folder }]);
  });
  test('in the own group after moving to a leaf, where nobody else is in it', () => {
    const own = group({ ...shared, 'cgroup.procs': `${process.pid}\n` });
    mkdirSync(join(own.folder, 'flex-harness'));
    expect(withMemory(own)).toEqual([{ version: 2, folder: own.folder }]);
    expect(readdirSync(join(own.folder, 'flex-harness'))).toEqual(['cgroup.procs']);
  });
  test('beside the own group where others are in that, and it has no limit', () => {
    const own = group({ ...shared, 'memory.max': 'max\n' });
    expect(withMemory(own)).toEqual([{ version: 2, folder: join(own.mount, 'parent') }]);
  });
  test.each([
    ['a limit would be left', { ...shared, 'memory.max': '1000000\n' }],
    [
      'nobody gives the controller',
      { ...shared, 'memory.max': 'max\n', 'parent/cgroup.subtree_control': '' },
    ],
    ['the group has it not', { ...shared, 'memory.max': 'max\n', 'cgroup.controllers': 'cpu\n' }],
  ])('nowhere where %s', (_, files) => {
    expect(withMemory(group(files))).toEqual([]);
  });
});

test('the limits of a group are its own and those above', () => {
  const own = group({ 'memory.max': 'max\n', 'parent/memory.max': '4096\n' });
  expect(limitsOfGroup(own)).toEqual([4096]);
  writeFileSync(join(own.mount, 'memory.max'), '2048');
  expect(limitsOfGroup(own)).toEqual([4096, 2048]);
});

const parents = withoutSandbox ? { memory: null, time: null } : groupParents();

describe.skipIf(withoutSandbox || parents.memory === null)('the groups of boxes', () => {
  const folder = parents.memory?.folder as string;
  const ours = () => readdirSync(folder).filter((name) => name.startsWith(`flex-${process.pid}-`));

  test('are there while they run, and gone with them', async () => {
    const sandbox = await openSandbox();
    await vi.waitFor(() => expect(ours()).toEqual([]));
    let isUp = false;
    const onOutput = () => {
      isUp = true;
    };
    const box = sandbox.open({
      ...python('print("up", flush=True); import time; time.sleep(60)'),
      limits: defaultLimits,
      lane: 0,
      onOutput,
    });
    await vi.waitFor(() => expect(isUp).toBe(true), 10_000);
    await vi.waitFor(() => expect(ours()).toHaveLength(1));
    box.kill();
    await box.ended;
    await vi.waitFor(() => expect(ours()).toEqual([]));
  });
  test('that a killed harness left are removed, those of a living one are not', () => {
    const [left, living, other] = ['flex-999999999-1', `flex-${process.pid}-x`, 'flexible-999999999-1'].map(
      (name) => join(folder, name),
    );
    for (const path of [left, living, other]) mkdirSync(path);
    onTestFinished(() => {
      for (const path of [living, other]) rmdirSync(path);
    });
    findGroupParents();
    expect([left, living, other].map((path) => existsSync(path))).toEqual([false, true, true]);
  });
});

describe.skipIf(withoutSandbox || process.getuid?.() !== 0 || parents.memory?.version !== 1)(
  'a harness in a group that holds less than one box may',
  () => {
    test.each([
      ['root', 0],
      ['an ordinary user', 61_234],
    ])(
      'lives, as %s, and judges programs that take it all by their memory',
      async (_, user) => {
        const group = openMemoryGroup(500 * 2 ** 20)!;
        onTestFinished(() => group.close());
        const script = join(import.meta.dirname, '../testing/in-small-memory.ts');
        const child = fork(script, { execArgv: ['--import', 'tsx'] });
        group.add(child.pid as number);
        child.send(user);
        const said = await new Promise((resolve, reject) => {
          child.once('message', resolve);
          child.once('exit', (code, signal) => reject(new Error(`the harness ended: ${code ?? signal}`)));
        });
        expect(said).toEqual({
          verdicts: ['memory', 'passed', 'memory'],
          notes: ['judging 1 at once, not 2: 0.5 GiB of memory hold no more'],
        });
      },
      90_000,
    );
  },
);
