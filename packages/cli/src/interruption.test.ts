import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { temporaryFolder } from '@flex/base/testing';
import type { RunSummary } from '@flex/train';
import { partModule, recordOf, tinyTraining } from '@flex/train/testing';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { flex } from './testing/flex.ts';

const bin = join(import.meta.dirname, '../bin/flex.mjs');
const micro = join(import.meta.dirname, '../assets/micro');
const isLong = process.env.FLEX_LONG_TESTS === '1';
const device = ['--device', 'cpu', '--threads', '1', '--json'];

/** A callback's module that does something after an update, with its `step`. */
const afterUpdate = (code: string) =>
  `callbacks={use: ${partModule(
    `{ name: 'mine', schema: z.strictObject({}), make: () => ({ async onUpdate({ step }) { ${code} } }) }`,
  )}}`;

/** A process of its own. */
function start(...args: string[]) {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

const summaryOf = (out: string): RunSummary => JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'));

/** The arguments of runs of one configuration in folders of their own. */
function trainings(...overrides: string[]) {
  const folder = temporaryFolder();
  const tiny = tinyTraining(folder);
  return {
    outOf: (name: string) => join(folder, name),
    args: (name: string, ...more: string[]) => [
      'train',
      ...tiny,
      ...overrides,
      `out=${join(folder, name)}`,
      ...device,
      ...more,
    ],
  };
}

const ends = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
  ['EPIPE', 141],
  ['EIO', 129],
  ['ENOSPC', 1],
] as const;

test.each(ends)(
  '%s ends a run after its update, with everything saved, and exit code %i',
  async (end, code) => {
    const { args, outOf } = trainings('train.max_steps=5');
    const error = `Object.assign(new Error('write ${end}'), { code: '${end}' })`;
    const event = end.startsWith('SIG')
      ? `process.emit('${end}', '${end}')`
      : `process.stdout.emit('error', ${error})`;
    const ended = await flex(...args('parts', afterUpdate(`if (step === 2) ${event};`)));
    expect(ended.code).toBe(code);
    expect(ended.stderr).toContain('stopping after this update; once more to stop at once');
    expect(ended.stderr.includes('flex: stdout: write ENOSPC')).toBe(end === 'ENOSPC');
    expect(summaryOf(outOf('parts'))).toMatchObject({ status: 'interrupted', steps: 2 });
    expect(process.listenerCount('SIGTERM')).toBe(0);
  },
);

test('a signal before the model is loaded ends a run with nothing written', async () => {
  const { args, outOf } = trainings('train.max_steps=5');
  const ending = flex(...args('early'));
  while (process.listenerCount('SIGTERM') === 0) await setTimeout(1);
  process.emit('SIGINT', 'SIGINT');
  const ended = await ending;
  expect(ended.code).toBe(130);
  expect(ended.stderr).toContain('stopped while the model was loaded: nothing was written');
  expect(ended.stderr).not.toContain('after this update');
  expect(ended.stdout).toBe('');
  expect(existsSync(outOf('early'))).toBe(false);
});

/** What ends a process of its own from outside, and its exit code or signal then. */
const outside = [
  ['SIGKILL', 'SIGKILL'],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
  ['a closed pipe', 141],
] as const;
const moments = isLong ? 25 : 1;

test(`a run that is ended at ${moments} random moments each way goes on to the bytes of an undisturbed one`, {
  timeout: 900_000,
}, async () => {
  const slowly = afterUpdate('await new Promise((resolve) => setTimeout(resolve, 10));');
  const { args, outOf } = trainings('train.max_steps=40', slowly);
  expect((await flex(...args('whole'))).code).toBe(0);
  const whole = recordOf(outOf('whole'));
  const moment = fc.record({ step: fc.integer({ min: 1, max: 35 }), wait: fc.integer({ min: 0, max: 20 }) });
  const cases = outside.flatMap((one) => fc.sample(moment, moments).map((at) => [...one, at] as const));
  for (const [i, [what, expected, { step, wait }]] of cases.entries()) {
    const out = outOf(`parts-${i}`);
    const child = start(...args(`parts-${i}`));
    const ended = once(child, 'exit');
    let errors = '';
    child.stderr.on('data', (text) => {
      errors += text;
    });
    for await (const line of createInterface(child.stdout)) {
      if (line.startsWith(`{"step":${step},`)) break;
    }
    await setTimeout(wait);
    if (what === 'a closed pipe') child.stdout.destroy();
    else child.kill(what);
    const [code, signal] = await ended;
    const where = `${what} after update ${step} and ${wait} ms: ${errors}`;
    expect(code ?? signal, where).toBe(expected);
    expect(errors).not.toMatch(/^\s+at /m);
    // A signal that comes late finds the run at its last update.
    if (what === 'SIGKILL') expect(existsSync(join(out, 'summary.json')), where).toBe(false);
    else expect(summaryOf(out).status, where).toMatch(/^(interrupted|done)$/);
    expect((await flex(...args(`parts-${i}`, '--resume'))).code).toBe(0);
    expect(recordOf(out), where).toEqual(whole);
  }
});

test('a second signal ends a run at once; one that comes with the first, or a second SIGHUP, is none', async () => {
  const { args, outOf } = trainings('train.max_steps=5');
  const slowly = afterUpdate("console.error('in update'); await new Promise((r) => setTimeout(r, 20_000));");
  const child = start(...args('r', slowly));
  const ended = once(child, 'exit');
  for await (const line of createInterface(child.stderr)) if (line === 'in update') break;
  for (const signal of ['SIGHUP', 'SIGTERM', 'SIGHUP'] as const) child.kill(signal);
  await setTimeout(400);
  child.kill('SIGHUP');
  await setTimeout(100);
  expect(child.exitCode).toBe(null);
  child.kill('SIGTERM');
  expect(await ended).toEqual([143, null]);
  expect(existsSync(join(outOf('r'), 'summary.json'))).toBe(false);
});

test('a command whose reader is gone ends without a word', async () => {
  const args = [
    'generate',
    '--model',
    micro,
    '--ids',
    '1,5',
    '--max-new-tokens',
    '40',
    ...device.slice(0, 4),
  ];
  const child = start(...args);
  const ended = once(child, 'exit');
  child.stdout.destroy();
  let errors = '';
  for await (const text of child.stderr) errors += text;
  expect(await ended).toEqual([141, null]);
  expect(errors).not.toMatch(/EPIPE|^\s+at /m);
});

test.skipIf(!existsSync('/dev/full'))('what ends with its last line on a full disk has failed', () => {
  const full = openSync('/dev/full', 'w');
  const { status, stderr } = spawnSync(process.execPath, [bin, '--version'], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  });
  closeSync(full);
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringMatching(/^flex: stdout: .*ENOSPC.*\n$/),
  });
});
