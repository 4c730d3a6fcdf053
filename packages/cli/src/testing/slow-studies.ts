import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { temporaryFolder } from '@flex/base/testing';
import { readStudy } from '@flex/study';
import { partModule, recordOf, tinyTraining } from '@flex/train/testing';
import { expect, onTestFinished } from 'vitest';
import { type Ended, flex } from './flex.ts';

const bin = join(import.meta.dirname, '../../bin/flex.mjs');
export const device = ['--device', 'cpu', '--threads', '1', '--json'];

/** Of a run; each takes so many milliseconds at least, so that most moments are within some run. */
export const updates = 20;
const pause = 150;

const slowly = `{ name: 'slowly', schema: z.strictObject({}), make: () => ({
  onUpdate: () => new Promise((resolve) => setTimeout(resolve, ${pause})) }) }`;

/** Studies of one configuration in folders of their own, each of three runs. */
export function slowStudies(...settings: string[]) {
  const folder = temporaryFolder();
  const file = join(folder, 'study.yaml');
  writeFileSync(file, 'base: {}\n');
  const base = [
    ...tinyTraining(folder),
    'regularizer=none',
    `train.max_steps=${updates}`,
    'train.save_every=5',
    `callbacks={use: ${partModule(slowly)}}`,
  ].map((text) => `base.${text}`);
  const outOf = (name: string) => join(folder, name);
  return {
    outOf,
    args: (name: string, ...more: string[]) => [
      ...['study', file, ...base, ...settings, `out=${outOf(name)}`, ...device],
      ...more,
    ],
    /** All that a study's runs say, without what measures the machine. */
    recordsOf: (name: string) => {
      const { runs } = readStudy(outOf(name));
      return Object.fromEntries(
        runs.map(({ name: run, folder: out, state, failure }) => [run, { state, failure, ...recordOf(out) }]),
      );
    },
    /** Those of the same runs, each by `flex train` alone. */
    async undisturbed(like: string) {
      const records: Record<string, object> = {};
      for (const { name } of readStudy(outOf(like)).runs) {
        const out = join(outOf(`${like}-undisturbed`), name);
        const config = join(outOf(like), 'configs', `${name}.yaml`);
        const { code, stderr } = await flex('train', config, `out=${out}`, ...device, '--quiet');
        expect(code, stderr).toBe(0);
        records[name] = { state: 'done', failure: null, ...recordOf(out) };
      }
      return records;
    },
  };
}

/** A command in a process of its own. */
export function start(args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (text) => {
      written[name] += String(text);
    });
  }
  return { child, ended: once(child, 'close').then(([code]) => ({ code, ...written })) };
}

export async function until(is: () => boolean): Promise<void> {
  while (!is()) await setTimeout(10);
}
