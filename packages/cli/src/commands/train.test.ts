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

test('a run that is killed leaves no process, and goes on to the bytes of one that was not', async () => {
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

test('the lowest held-out loss is told with its set, and is one of an update', async () => {
  const out = join(temporaryFolder(), 'run');
  const heldOut = `eval=[{source: ${join(assets, 'quickstart/tasks.jsonl')}, split: 81-82}]`;
  const diverging = [
    heldOut,
    'train.eval_every=1',
    'train.max_steps=3',
    'optimizer.lr=0.3',
    'schedule.warmup_steps=3',
  ];
  for (const [by, told] of [
    ['null', 'mean of all sets'],
    ['tasks.jsonl 81-82', 'tasks.jsonl 81-82'],
  ]) {
    const words = train(out, ...diverging, `train.best_by=${by}`, '--overwrite');
    const { stdout } = await flex(...words.filter((word) => word !== '--json'));
    const { best, eval: losses } = JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'));
    expect(best.step).toBeLessThan(3);
    expect(best.loss).toBeGreaterThanOrEqual(losses['tasks.jsonl 81-82'].before);
    const line = `lowest held-out loss of an update: ${best.loss.toFixed(4)} (${told}) after ${best.step} updates`;
    expect(stdout).toContain(line);
    const before = losses['tasks.jsonl 81-82'].before.toFixed(4);
    expect(stdout).toContain(`no update has a lower held-out loss than the ${before} before the first`);
  }
  const words = train(out, heldOut, 'optimizer.lr=2e-3', 'train.max_steps=3', '--overwrite');
  const { stdout } = await flex(...words.filter((word) => word !== '--json'));
  expect(stdout).toContain('held-out loss, nats a token');
  expect(stdout).not.toContain('no update has a lower held-out loss');
});
