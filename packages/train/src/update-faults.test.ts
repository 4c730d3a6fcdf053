import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { treeLeaves } from '@flex/autograd';
import { temporaryFolder } from '@flex/base/testing';
import { type Backend, eachTensor, openReference, watched } from '@flex/tensor';
import { type Fault, type FaultyBackend, faults, faulty } from '@flex/tensor/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { heldOutLosses } from './evaluate.ts';
import { warningsOf } from './health.ts';
import { loadConfig } from './index.ts';
import { lockRun } from './lock-run.ts';
import { diagnosticsOf, makeUpdate } from './make-update.ts';
import { type PreparedRun, prepare } from './prepare.ts';
import { measurements } from './run.ts';
import { openRunState } from './run-state.ts';
import { spectrumFile, spectrumLog } from './spectrum-log.ts';
import { tinyTraining } from './testing/tiny-training.ts';

// Of each fault of each case so many places, drawn at random; in the long form every one.
const placesEach = process.env.FLEX_LONG_TESTS === '1' ? Number.POSITIVE_INFINITY : 2;

/** A backend that is at any time another one. */
function changeable(first: Backend): Backend & { now: Backend } {
  const one: Backend & { now: Backend } = {
    ...first,
    now: first,
    allocate: (spec) => one.now.allocate(spec),
    write: (...args) => one.now.write(...args),
    read: (source) => one.now.read(source),
    sync: () => one.now.sync(),
    run: (...args) => one.now.run(...args),
  };
  return one;
}

/** A run of one layer that is ready for update 2, and its device. */
async function readyRun(choices: readonly string[]) {
  const folder = temporaryFolder();
  const device = changeable(openReference());
  const tiny = tinyTraining(folder, { num_hidden_layers: 1 });
  const config = await loadConfig({
    overrides: [...tiny, `out=${join(folder, 'run')}`, 'lora.dropout=0.1', ...choices],
  });
  const lock = lockRun(config, {});
  const run = (await prepare(config, { backend: device }, lock)) as PreparedRun;
  lock.release();
  await makeUpdate(run, 1);
  return { run, device };
}

/** What the host has of what is trained. */
async function kept({ trainee }: PreparedRun) {
  const { params, whole, state } = trainee.snapshot.on(openReference());
  const tensors = treeLeaves([params, whole, state]);
  const data = await Promise.all(tensors.map((t) => t.data()));
  for (const t of tensors) t.dispose();
  return data;
}

/**
 * All that update 2 computes, an evaluation after it and its spectrum. Penalties are looked at as after the
 * first. A checkpoint is what `kept` gives, and asks no device.
 */
async function wholeUpdate(run: PreparedRun) {
  const made = await makeUpdate(run, 2);
  const isMeasured = (column: string) => (measurements as readonly string[]).includes(column);
  const line = Object.entries(made).filter(([column]) => !isMeasured(column));
  const warnings = await warningsOf(run, { ...made, step: 1 }, []);
  const diagnostics = await diagnosticsOf(run);
  const losses = await heldOutLosses(run, 2);
  const file = join(run.config.out, spectrumFile);
  await spectrumLog(file, null).onStart!(openRunState(run).context);
  const spectrum = readFileSync(file, 'utf8').split('\n').at(-2);
  return { line, warnings, diagnostics, losses, spectrum, kept: await kept(run) };
}

test.each([
  ['AdamW, two batches, computed again', ['train.checkpoint_activations=true', 'train.grad_accumulation=2']],
  [
    'Sophia-G, clipped, two penalties',
    [
      'optimizer={name: sophia-g, lr: 0.02, every: 1}',
      'regularizer=[{name: fourier, lambda: 0.1}, {name: l2, lambda: 0.1, enters: decoupled}]',
      'train.max_grad_norm=0.1',
    ],
  ],
  ['Sophia-H', ['optimizer={name: sophia-h, lr: 0.02, every: 1}']],
])(
  'a fault anywhere in an update ends it, with the one before it whole, or changes nothing: %s',
  async (_, choices) => {
    const { run, device } = await readyRun(choices);
    const { trainee } = run;
    const { now: sound } = device;
    const { snapshot } = trainee;
    const before = await kept(run);
    const reset = () => {
      device.now = sound;
      eachTensor([trainee.params, trainee.whole, trainee.state], (t) => t.dispose());
      Object.assign(trainee, snapshot.on(device), { snapshot });
    };
    const whole = await wholeUpdate(run);
    reset();
    const counters = new Map<Fault, FaultyBackend>();
    for (const fault of faults) {
      device.now = faulty(device.now, fault, Number.POSITIVE_INFINITY);
      counters.set(fault, device.now as FaultyBackend);
    }
    expect(await wholeUpdate(run)).toEqual(whole);
    reset();
    const counts = { places: 0, ended: 0 };
    for (const [fault, counter] of counters) {
      const all = [...Array(counter.places()).keys()];
      const count = Math.min(all.length, placesEach);
      for (const at of fc.sample(fc.shuffledSubarray(all, { minLength: count, maxLength: count }), 1)[0]) {
        const name = `${fault} ${at} of ${all.length}`;
        const live = device.stats.liveBytes;
        // A wait that ends too soon on a busy machine is one more failure that ends the update.
        device.now = watched(faulty(sound, fault, at), { seconds: fault === 'hang' ? 0.02 : 60 });
        const made = await wholeUpdate(run).catch((error: Error) => error);
        counts.places++;
        if (made instanceof Error) {
          counts.ended++;
          expect(made.message, name).toMatch(/^[^\n]+$/);
          expect(await kept(run), name).toEqual(trainee.snapshot === snapshot ? before : whole.kept);
        } else expect(made, name).toEqual(whole);
        reset();
        // An update that is made once more has given back all that the first try took.
        if (fault === 'allocation' && !(made instanceof Error)) {
          expect(device.stats.liveBytes, name).toBe(live);
        }
      }
    }
    expect(counts.ended).toBeGreaterThanOrEqual(counts.places / 2);
  },
  3_600_000,
);
