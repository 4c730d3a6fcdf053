import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { BusyError, ConfigError } from './errors.ts';
import { isLocked, isLockFile, lockFile, lockFolder } from './lock-folder.ts';
import { hasEnded, thisProcess } from './process-identity.ts';
import { temporaryFolder } from './testing/index.ts';
import type { LockingTask } from './testing/locking-process.ts';

const lockName = '.lock';
const long = process.env.FLEX_LONG_TESTS === '1';

/** A folder to lock, and the path of its lock. */
function newFolder(): { folder: string; file: string } {
  const folder = join(temporaryFolder(), 'run');
  return { folder, file: join(folder, lockName) };
}

/** The process id and start of a process that has ended. */
function endedProcess(): { pid: number; started: number } {
  const { pid } = spawnSync(process.execPath, ['--version']);
  return { pid, started: 1 };
}

/** A lock as `lockFolder` writes it, of this process unless told else. */
function plant(folder: string, change: object = {}): string {
  mkdirSync(folder, { recursive: true });
  const since = '2026-11-22T06:30:05.000Z';
  const holder = { id: randomUUID(), ...thisProcess(), command: 'flex train', since, ...change };
  const text = `${JSON.stringify(holder)}\n`;
  writeFileSync(join(folder, lockName), text);
  return text;
}

function errorOf(folder: string): Error {
  try {
    lockFolder(folder).release();
  } catch (error) {
    return error as Error;
  }
  throw new Error('was not refused');
}

test('a folder that is locked is refused, in one line that names process, host and time, until it is released', () => {
  const { folder, file } = newFolder();
  const lock = lockFolder(folder);
  expect(lock.note).toBe(null);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ pid: process.pid, host: hostname() });
  const error = errorOf(folder);
  expect(error).toBeInstanceOf(BusyError);
  expect(error.message).toMatch(
    /^.*run: is being written into by process \d+ on .* \(.*, since 20\S+ \S+ UTC\); wait/,
  );
  expect(error.message).toContain(`process ${process.pid} on ${hostname()} `);
  expect(readdirSync(folder)).toEqual([lockName]);
  expect([lockName, `${lockName}.id`, '.locked', 'lock'].map(isLockFile)).toEqual([true, true, false, false]);
  writeFileSync(join(folder, 'kept'), '');
  lock.release();
  expect(readdirSync(folder)).toEqual(['kept']);
  lockFolder(folder).release();
  expect(readdirSync(folder)).toEqual(['kept']);
});

test('whether a process has a lock is seen without taking it', () => {
  const { folder } = newFolder();
  expect(isLocked(folder)).toBe(false);
  const lock = lockFolder(folder);
  expect(isLocked(folder)).toBe(true);
  lock.release();
  for (const change of [endedProcess(), { host: 'elsewhere' }, { pid: 'none' }]) {
    const text = plant(folder, change);
    expect(isLocked(folder)).toBe(false);
    expect(readFileSync(join(folder, lockName), 'utf8')).toBe(text);
    expect(readdirSync(folder)).toEqual([lockName]);
  }
});

test('a file is locked by a folder beside it, which goes with the lock, that of a killed process too', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'model.gguf');
  for (const isLeft of [false, true]) {
    if (isLeft) plant(join(folder, '.model.gguf.lock'), endedProcess());
    const lock = lockFile(path);
    const note = /^.*model\.gguf: its lock was of process \d+ .* it is taken over$/;
    if (isLeft) expect(lock.note).toMatch(note);
    else expect(lock.note).toBe(null);
    expect(() => lockFile(path)).toThrow(BusyError);
    expect(() => lockFile(path)).toThrow(
      /model\.gguf: is being written .*; wait until it ends, or name another file$/,
    );
    lockFile(join(folder, 'other.gguf')).release();
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
  }
  const missing = join(folder, 'none', 'model.gguf');
  expect(() => lockFile(missing)).toThrow(
    `${missing}: cannot be written: there is no folder ${join(folder, 'none')}`,
  );
});

test('a folder that was made for its lock and stayed empty goes with it; one that was there stays', () => {
  const outer = temporaryFolder();
  lockFolder(join(outer, 'a/b')).release();
  expect(readdirSync(outer)).toEqual([]);
  mkdirSync(join(outer, 'c'));
  lockFolder(join(outer, 'c')).release();
  expect(readdirSync(outer)).toEqual(['c']);
});

test('the names of one folder share its lock', () => {
  const { folder } = newFolder();
  const lock = lockFolder(folder);
  const other = join(temporaryFolder(), 'link');
  symlinkSync(folder, other);
  expect(errorOf(other).message).toContain(`${other}: is being written into by`);
  lock.release();
});

test.each([
  ['has ended', endedProcess()],
  ['had an id that another process has now', { started: 1 }],
])('the lock of a process that %s is taken over with a note', (_, change) => {
  const { folder } = newFolder();
  plant(folder, change);
  const lock = lockFolder(folder);
  expect(lock.note).toMatch(
    /its lock was of process \d+ on .* \(flex train, since 2026-11-22 06:30:05 UTC\)/,
  );
  expect(readdirSync(folder)).toEqual([lockName]);
  expect(errorOf(folder).message).toContain('is being written into by');
  lock.release();
  expect(readdirSync(folder)).toEqual([]);
});

test.each([
  ['on another host', { host: 'elsewhere' }],
  ['on another start of the machine, or in another container', { system: 'another' }],
])('the lock of a process %s is never taken over, and the line says what to remove', (_, change) => {
  const { folder, file } = newFolder();
  const text = plant(folder, { ...endedProcess(), ...change });
  expect(errorOf(folder).message).toContain(`cannot be seen from here: if it has, remove ${file}`);
  expect(readFileSync(file, 'utf8')).toBe(text);
});

test('where nothing tells when a process began, its id alone says that it runs', () => {
  const own = thisProcess();
  expect(hasEnded({ ...own, started: null })).toBe(false);
  expect(hasEnded({ ...own, ...endedProcess(), started: null })).toBe(true);
  // Process 1 is another user's for all but root.
  expect(hasEnded({ ...own, pid: 1, started: null })).toBe(false);
});

test.runIf(process.platform === 'linux')(
  'a process that its parent has not looked after yet has ended',
  async () => {
    // sh becomes sleep, which looks after no child.
    const script = 'sleep 0.1 & echo $!; exec sleep 60';
    const parent = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    onTestFinished(() => void parent.kill());
    const [line] = await once(parent.stdout, 'data');
    const stat = () => readFileSync(`/proc/${Number(line)}/stat`, 'utf8').split(' ');
    await expect.poll(() => stat()[2]).toBe('Z');
    expect(hasEnded({ ...thisProcess(), pid: Number(line), started: Number(stat()[21]) })).toBe(true);
  },
);

test.each([
  ['an empty file', (file: string) => writeFileSync(file, '')],
  ['other words', (file: string) => writeFileSync(file, 'mine')],
  ['JSON of something else', (file: string) => writeFileSync(file, '{"pid": 1}')],
  ['JSON that is deep', (file: string) => writeFileSync(file, '['.repeat(30_000))],
  [
    'a lock whose id is a path',
    (file: string) => plant(join(file, '..'), { ...endedProcess(), id: '../../x' }),
  ],
  ['a lock of no process', (file: string) => plant(join(file, '..'), { pid: -1 })],
  ['a large file', (file: string) => writeFileSync(file, ' '.repeat(1 << 17))],
  ['a folder', (file: string) => mkdirSync(file)],
  ['a link', (file: string) => symlinkSync('/etc/hostname', file)],
  ['a link to nowhere', (file: string) => symlinkSync('/nowhere', file)],
])('%s in place of a lock is refused in one line, and stays', (_, put) => {
  const { folder, file } = newFolder();
  mkdirSync(folder);
  put(file);
  const before = readdirSync(folder);
  const error = errorOf(folder);
  expect(error).toBeInstanceOf(ConfigError);
  expect(error.message).toBe(`${file}: is no lock of flex; remove it, or take another folder`);
  expect(readdirSync(folder)).toEqual(before);
});

test('a release removes no other lock, and none where there is none', () => {
  const { folder, file } = newFolder();
  const lock = lockFolder(folder);
  rmSync(file);
  const other = lockFolder(folder);
  const text = readFileSync(file, 'utf8');
  lock.release();
  expect(readFileSync(file, 'utf8')).toBe(text);
  other.release();
  other.release();
  expect(existsSync(file)).toBe(false);
});

test('a release bears that the folder was removed, is a file by now, or has something else as its lock', () => {
  const { folder, file } = newFolder();
  const replaceBy = (put: () => void) => {
    const lock = lockFolder(folder);
    rmSync(folder, { recursive: true });
    put();
    lock.release();
    const stays = existsSync(folder);
    rmSync(folder, { recursive: true, force: true });
    return stays;
  };
  expect(replaceBy(() => undefined)).toBe(false);
  expect(replaceBy(() => mkdirSync(file, { recursive: true }))).toBe(true);
});

test('what a killed process left of taking a lock goes when the next one takes it', () => {
  const { folder, file } = newFolder();
  // It was killed between its claim on a lock that another one had left, and its taking over.
  const stale = JSON.parse(plant(folder, endedProcess())) as { id: string };
  const claim = `${file}.${stale.id}`;
  renameSync(file, `${file}.keep`);
  plant(folder, endedProcess());
  renameSync(file, claim);
  linkSync(claim, `${claim}.draft`);
  renameSync(`${file}.keep`, file);
  const lock = lockFolder(folder);
  expect(lock.note).toContain('its lock was of process');
  expect(readdirSync(folder)).toEqual([lockName]);
  lock.release();
});

test('while a process takes a lock over, others are refused', () => {
  const { folder, file } = newFolder();
  const stale = JSON.parse(plant(folder, endedProcess())) as { id: string };
  renameSync(file, `${file}.keep`);
  plant(folder);
  renameSync(file, `${file}.${stale.id}`);
  renameSync(`${file}.keep`, file);
  expect(errorOf(folder).message).toContain(`by process ${process.pid} on`);
});

test.skipIf(process.getuid?.() === 0 || process.platform === 'win32')(
  'a folder that is read-only is refused in one line',
  () => {
    const { folder } = newFolder();
    mkdirSync(folder);
    chmodSync(folder, 0o555);
    onTestFinished(() => chmodSync(folder, 0o755));
    expect(errorOf(folder).message).toMatch(/run: cannot be a folder of results: /);
  },
);

test
  .runIf(process.platform === 'linux')
  .each(['/proc', '/proc/self', '/proc/flex', '/dev/null', '/dev/null/x'])(
  '%s is refused in one line',
  (folder) => {
    const error = errorOf(folder);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message.startsWith(`${folder}: `)).toBe(true);
  },
);

/** A process that locks a folder. */
interface Racer {
  readonly child: ChildProcess;
  /** Gives it a task, and gives its answer. */
  ask(task: LockingTask): Promise<{ note?: string | null; message?: string; name?: string }>;
}

async function newRacer(folder: string): Promise<Racer> {
  const script = join(import.meta.dirname, 'testing/locking-process.ts');
  const child = fork(script, [folder], { execArgv: ['--import', 'tsx'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'message');
  return {
    child,
    async ask(task) {
      const answer = once(child, 'message');
      child.send(task);
      return (await answer)[0];
    },
  };
}

test('nobody ever reads a lock that is not whole', async () => {
  const { folder, file } = newFolder();
  mkdirSync(folder);
  const racer = await newRacer(folder);
  const lengths = new Set<number>();
  // A reader that never ran while there was a lock has seen nothing: ask again.
  while (lengths.size === 0) {
    let isDone = false;
    const answer = racer.ask({ times: long ? 1000 : 60 }).finally(() => {
      isDone = true;
    });
    while (!isDone) {
      for (let i = 0; i < 100; i++) lengths.add(lengthOf(file));
      await setImmediate();
    }
    expect(await answer).toEqual({ note: null });
    lengths.delete(-1);
  }
  // All locks of one process are of one length.
  expect(lengths.size).toBe(1);
});

/** The length of a file in bytes; -1 where it is not there. */
function lengthOf(file: string): number {
  try {
    return readFileSync(file).length;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return -1;
    throw error;
  }
}

test('of processes that race for a folder exactly one has it, also where the one before was killed', {
  timeout: 300_000,
}, async () => {
  const [count, rounds, killEvery] = long ? [4, 150, 5] : [3, 24, 12];
  const folder = join(temporaryFolder(), 'a/run');
  const racers = await Promise.all(Array.from({ length: count }, () => newRacer(folder)));
  const tally = { released: 0, planted: 0, killed: 0 };
  let expected: RegExp | null = null;
  for (let round = 1; round <= rounds; round++) {
    const at = Date.now() + 3;
    const answers = await Promise.all(racers.map((racer) => racer.ask({ at })));
    const winners = answers.flatMap((answer, i) => (answer.message === undefined ? [i] : []));
    expect(winners, JSON.stringify(answers)).toHaveLength(1);
    const winner = racers[winners[0]];
    const { note } = answers[winners[0]];
    if (expected === null) expect(note).toBe(null);
    else expect(note).toMatch(expected);
    for (const { message, name } of answers.filter((_, i) => i !== winners[0])) {
      expect(name).toBe('BusyError');
      expect(message).toMatch(/run: is being written into by process \d+ on /);
      expect(racers.map(({ child }) => `process ${child.pid} on`).some((who) => message!.includes(who))).toBe(
        true,
      );
    }
    expected = null;
    if (round % killEvery === 0) {
      const ended = once(winner.child, 'close');
      winner.child.kill('SIGKILL');
      await ended;
      expected = new RegExp(`its lock was of process ${winner.child.pid} on `);
      racers[winners[0]] = await newRacer(folder);
      tally.killed++;
    } else {
      await winner.ask('release');
      tally.released++;
      expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([]);
    }
    if (round % 3 === 0 && expected === null) {
      const { pid } = endedProcess();
      plant(folder, { pid, started: 1 });
      expected = new RegExp(`its lock was of process ${pid} on `);
      tally.planted++;
    }
  }
  expect(Math.min(...Object.values(tally))).toBeGreaterThan(1);
});
