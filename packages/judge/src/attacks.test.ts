import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { shared } from '@flex/fixtures';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Family, families } from './testing/attacks.ts';
import { placeDataBelowUsr } from './testing/data-below-usr.ts';
import { judgeApart } from './testing/judge-apart.ts';
import { type JudgedAttack, judgeAttacks, misjudged } from './testing/judge-attacks.ts';
import { isLong } from './testing/long.ts';
import { openMemoryGroup } from './testing/memory-group.ts';
import { withoutSandbox } from './testing/without-sandbox.ts';

/** What hostile programs leave behind where they can has this in its name. */
const marker = 'flex-attack-';
/** An id that no one has here. */
const ordinaryUser = 61_234;
const minutes = 60_000;

const isRoot = process.getuid?.() === 0;

/** What the user decides whom the harness runs as; long tests try all. */
const ofUsers: readonly Family[] = isLong
  ? families
  : [
      ...(['control', 'shared-state', 'secrets', 'writes', 'links', 'network', 'kernel'] as const),
      ...(['processes', 'signals', 'daemons', 'resource-processes', 'resource-memory'] as const),
      ...(['resource-files', 'output'] as const),
    ];

// Benchmarks lie below /usr while the suite runs, where that can be.
const published = ['HumanEval.jsonl.gz', 'mbpp.jsonl'].map((name) => shared(`data/${name}`));
const isPlaced = isRoot && published.every((file) => existsSync(file));
let removeData = () => {};
beforeAll(() => {
  if (isPlaced) removeData = placeDataBelowUsr(published);
});
afterAll(() => removeData());
test.skipIf(!isPlaced)('the attack suite is judged with data below /usr', () => {
  expect(readFileSync('/usr/share/flex-attack-data/data/mbpp.jsonl', 'utf8')).toContain('task_id');
});

describe.skipIf(withoutSandbox).each([
  { who: isRoot ? 'root' : 'the ordinary user who runs the tests', least: 390, judge: () => judgeAttacks() },
  ...(isRoot
    ? [
        {
          who: 'an ordinary user',
          least: 150,
          judge: () => judgeApart({ user: ordinaryUser, families: ofUsers }),
        },
      ]
    : []),
])('the attack suite, run by $who', ({ judge, least }) => {
  let judged: JudgedAttack[];
  beforeAll(async () => {
    judged = await judge();
  }, 15 * minutes);

  test('lets no hostile program pass, and judges every program as it should', () => {
    expect(misjudged(judged)).toEqual([]);
    expect(judged.length).toBeGreaterThanOrEqual(least);
  });

  test('bounds every program', () => {
    const slowest = Math.max(...judged.map(({ judgement }) => judgement.seconds));
    expect(slowest).toBeLessThan(30);
  });

  test('leaves nothing written', () => {
    const folders = ['/', '/dev', '/dev/shm', '/etc', '/home', '/proc/sys/kernel', '/root', '/run', '/tmp'];
    const more = [
      '/usr',
      '/usr/bin',
      '/usr/local/bin',
      '/var',
      '/var/tmp',
      process.cwd(),
      import.meta.dirname,
    ];
    const found = [...folders, ...more].flatMap((folder) =>
      namesIn(folder)
        .filter((name) => name.startsWith(marker))
        .map((name) => join(folder, name)),
    );
    expect(found).toEqual([]);
  });

  test('leaves nothing alive', async () => {
    // Other tests kill harnesses at the same time, whose boxes take a moment to follow.
    for (let tries = 0; tries < 30 && leftAlive().length > 0; tries++) await setTimeout(100);
    expect(leftAlive()).toEqual([]);
  });
});

const container = withoutSandbox ? null : openMemoryGroup(2 * 2 ** 30);

describe.skipIf(container === null)('in a container of 2 GiB [memory group]', () => {
  const greedy: readonly Family[] = ['control', 'resource-memory'];
  afterAll(() => container?.close());
  test.each(isLong ? [1, 2] : [2])(
    'and %d lanes no program ends the harness',
    async (lanes) => {
      const judged = await judgeApart({ lanes, families: isLong ? families : greedy, group: container! });
      expect(misjudged(judged)).toEqual([]);
      expect(judged.length).toBeGreaterThan(50);
    },
    15 * minutes,
  );
});

/**
 * Processes that hold the marker, and boxes of this process or of one that is gone.
 * What is dead but not waited for (a zombie) is not alive: a machine's first process may wait late or never.
 */
function leftAlive(): string[] {
  return namesIn('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => {
      const { name, state, parent } = statusOf(pid);
      if (state === 'Z') return '';
      const owner = statusOf(parent).name;
      // One without users has run nothing: bubblewrap was killed with its harness while it mapped them.
      const isBox = name === 'bwrap' && readIfThere(`/proc/${pid}/uid_map`) !== '';
      const isLeft = isBox && (Number(parent) === process.pid || !/^(bwrap|node)/.test(owner));
      const line = readIfThere(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
      return isLeft || line.includes(marker) ? `${pid} of ${owner}: ${line}` : '';
    })
    .filter((line) => line !== '');
}

/** A process's name, its state's letter and its parent's id. */
function statusOf(pid: string): { name: string; state: string; parent: string } {
  const status = readIfThere(`/proc/${pid}/status`);
  return {
    name: /^Name:\t(.*)$/m.exec(status)?.[1] ?? '',
    state: /^State:\t(.)/m.exec(status)?.[1] ?? '',
    parent: /^PPid:\t(\d+)$/m.exec(status)?.[1] ?? '0',
  };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (['ENOENT', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}
