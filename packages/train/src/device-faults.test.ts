import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { type Backend, openWasm, watched } from '@flex/tensor';
import { type Fault, type FaultyBackend, faults, faulty, poisoned } from '@flex/tensor/testing';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { savedSteps } from './checkpoint.ts';
import { loadConfig, train } from './index.ts';
import { measurements } from './run.ts';
import { recordOf, tinyTraining } from './testing/tiny-training.ts';

const isLong = process.env.FLEX_LONG_TESTS === '1';
const placesEach = isLong ? 30 : 1;

const backend = openWasm({ threads: 1 });
afterAll(() => backend.close());

const linesIn = (file: string): string[] => readFileSync(file, 'utf8').trim().split('\n');
const weightsIn = (dir: string): Buffer => readFileSync(join(dir, 'adapter_model.safetensors'));

/** Runs of one configuration, and the record of one that nothing disturbed. */
async function runs() {
  const folder = temporaryFolder();
  const common = [...tinyTraining(folder), 'train.max_steps=3', 'train.save_every=2', 'lora.dropout=0.1'];
  const outOf = (name: string) => join(folder, name);
  const run = async (name: string, on: Backend, more: readonly string[] = [], resume = false) => {
    const config = await loadConfig({ overrides: [...common, `out=${outOf(name)}`, ...more] });
    return train(config, { backend: on, resume });
  };
  await run('whole', backend);
  return { run, outOf, whole: recordOf(outOf('whole')) };
}

/** Lines of metrics without what measures the machine. */
const metricsIn = (out: string): string[] =>
  linesIn(join(out, 'metrics.jsonl')).map((line) =>
    line.replaceAll(new RegExp(`"(${measurements.join('|')})":[^,}]+`, 'g'), ''),
  );

test(
  'a device that fails at any call ends the run, and nothing wrong is written; another goes on to the same bytes',
  async () => {
    const { run, outOf, whole } = await runs();
    const counted = new Map<Fault, FaultyBackend>();
    let counting = backend as Backend;
    for (const call of faults) {
      const counter = faulty(counting, call, Number.POSITIVE_INFINITY);
      counted.set(call, counter);
      counting = counter;
    }
    await run('counted', counting);
    await run('all', backend, ['train.save_every=1', 'train.keep_checkpoints=null']);
    const adapters = [1, 2, 3].map((step) =>
      weightsIn(join(outOf('all'), `checkpoints/step-${step}/adapter`)),
    );
    const metrics = metricsIn(outOf('whole'));
    const counts = { done: 0, ended: 0 };
    for (const fault of faults) {
      const every = [...Array(counted.get(fault)!.places()).keys()];
      const few = fc.shuffledSubarray(every, { minLength: placesEach, maxLength: placesEach });
      for (const at of fc.sample(few, 1)[0]) {
        const name = `${fault} ${at} of ${every.length}`;
        const out = outOf(name);
        const error = await run(name, watched(faulty(backend, fault, at), { seconds: 0.2 })).then(
          () => null,
          (error: Error) => error,
        );
        counts[error ? 'ended' : 'done']++;
        if (error) {
          expect(error.message, name).toMatch(/^[^\n]+$/);
          const lines = existsSync(join(out, 'metrics.jsonl')) ? metricsIn(out) : [];
          expect(lines, name).toEqual(lines.join() === '' ? lines : metrics.slice(0, lines.length));
          if (existsSync(join(out, 'adapter'))) {
            expect(weightsIn(join(out, 'adapter')).equals(adapters[savedSteps(out).at(-1)! - 1]), name).toBe(
              true,
            );
          }
          expect(await run(name, backend, [], true), name).toMatchObject({ status: 'done' });
        }
        expect(recordOf(out), name).toEqual(whole);
        rmSync(out, { recursive: true });
      }
    }
    expect(counts.ended).toBeGreaterThanOrEqual(5 * placesEach);
  },
  isLong ? 1_800_000 : 300_000,
);

test('memory that was used before is read by nothing: a run on poisoned memory has the same bytes', async () => {
  const { run, outOf, whole } = await runs();
  await run('poisoned', poisoned(backend));
  expect(recordOf(outOf('poisoned'))).toEqual(whole);
});
