import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const assets = join(import.meta.dirname, '../../assets');
const bin = join(import.meta.dirname, '../../bin/flex.mjs');

const train = (out: string, ...more: string[]) => [
  'train',
  `model=${join(assets, 'micro')}`,
  `data.source=${join(assets, 'quickstart/tasks.jsonl')}`,
  'data.split=1-16',
  'train.batch_size=2',
  'train.epochs=1',
  'train.save_every=1',
  `out=${out}`,
  '--device',
  'cpu',
  '--json',
  ...more,
];

/** The processes of a group that have not ended. */
function living(group: number): string[] {
  const { stdout } = spawnSync('ps', ['-eo', 'pgid=,stat=,args='], { encoding: 'utf8' });
  const lines = stdout.split('\n').map((line) => line.trim());
  return lines.filter((line) => line.startsWith(`${group} `) && !/^\d+ +Z/.test(line));
}

test('a run that is killed leaves no process, and goes on to the bytes of one that was not', {
  timeout: 60_000,
}, async () => {
  const folder = temporaryFolder();
  const [killed, whole] = [join(folder, 'killed'), join(folder, 'whole')];
  const child = spawn(process.execPath, [bin, ...train(killed, '--threads', '3')], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'close');
  for await (const text of child.stdout) {
    if (!String(text).includes('"step":3,')) continue;
    if (process.platform === 'linux') expect(threadsOf(child.pid!)).toBeGreaterThan(3);
    expect(living(child.pid!)).not.toEqual([]);
    child.kill('SIGKILL');
  }
  expect(await ended).toEqual([null, 'SIGKILL']);
  // tsx's compiler, where it had something to compile, ends when its input does.
  await expect.poll(() => living(child.pid!), { timeout: 5000 }).toEqual([]);

  const resumed = await flex(...train(killed, '--threads', '1', '--resume'));
  expect(resumed.code, resumed.stderr).toBe(0);
  expect((JSON.parse(resumed.stdout.split('\n')[0]) as { step: number }).step).toBeGreaterThan(2);
  expect((await flex(...train(whole))).code).toBe(0);
  const [a, b] = [killed, whole].map((out) => readFileSync(join(out, 'adapter/adapter_model.safetensors')));
  expect(a.equals(b)).toBe(true);
});

const threadsOf = (pid: number) => readdirSync(`/proc/${pid}/task`).length;
