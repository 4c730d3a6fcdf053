import { fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { type JudgedAttack, judgeAttacks } from './testing/judge-attacks.ts';
import { withoutSandbox } from './testing/without-sandbox.ts';

/** What hostile programs leave behind where they can has this in its name. */
const marker = 'flex-attack-';
/** An id that no one has here. */
const ordinaryUser = 61_234;
const minutes = 60_000;

const isRoot = process.getuid?.() === 0;

describe
  .skipIf(withoutSandbox)
  .each([
    { who: isRoot ? 'root' : 'the ordinary user who runs the tests', judge: () => judgeAttacks() },
    ...(isRoot ? [{ who: 'an ordinary user', judge: judgeAsOrdinaryUser }] : []),
  ])('the attack suite, run by $who', ({ judge }) => {
  let judged: JudgedAttack[];
  beforeAll(async () => {
    judged = await judge();
  }, 15 * minutes);

  test('lets no hostile program pass, and judges every program as it should', () => {
    const wrong = judged
      .filter(({ attack, judgement }) => !attack.verdicts.includes(judgement.verdict))
      .map(({ attack, judgement }) => `${attack.file}: ${JSON.stringify(judgement)}`);
    expect(wrong).toEqual([]);
    expect(judged.length).toBeGreaterThan(300);
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
      const isLeft = name === 'bwrap' && (Number(parent) === process.pid || !/^(bwrap|node)/.test(owner));
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

function judgeAsOrdinaryUser(): Promise<JudgedAttack[]> {
  const script = join(import.meta.dirname, 'testing', 'as-ordinary-user.ts');
  const child = fork(script, [String(ordinaryUser)], { execArgv: ['--import', 'tsx'] });
  return new Promise((resolve, reject) => {
    child.once('message', (judged) => resolve(judged as JudgedAttack[]));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the judging process ended with code ${code}`)));
  });
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
