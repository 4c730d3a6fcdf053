import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { type Backend, OutOfMemoryError, openWasm } from '@flex/tensor';
import { expect, test } from 'vitest';
import { type Callback, loadConfig, train } from './index.ts';

const micro = join(import.meta.dirname, '../../cli/assets/micro');
const mib = 2 ** 20;

/** Rows of so many tokens, an update each. */
async function configure(out: string, lengths: readonly number[], overrides: readonly string[] = []) {
  const source = `${out}.jsonl`;
  const rows = lengths.map((n) => ({ input_ids: Array.from({ length: n }, (_, i) => 5 + (i % 300)) }));
  writeFileSync(source, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const keys = ['data.shuffle=false', 'train.batch_size=1', 'train.epochs=1', 'train.save_every=0'];
  return loadConfig({
    overrides: [`model=${micro}`, `data.source=${source}`, `out=${out}`, ...keys, ...overrides],
  });
}

/** A CPU engine of so many bytes, of which nobody tells: no plan refuses what it cannot hold. */
const silent = (maxBytes: number): Backend => ({
  ...openWasm({ threads: 1, maxBytes }),
  memory: async () => null,
});

/** The updates that a run's metrics have a line of. */
const stepsOf = (out: string) =>
  readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { step: number }).step);

test('an update that does not fit ends the run with what is done saved; another one goes on to the same bytes', async () => {
  const folder = temporaryFolder();
  const out = join(folder, 'run');
  const lengths = [8, 8, 512, 8];
  const small = silent(24 * mib);
  const backend = openWasm();
  const ended = await train(await configure(out, lengths), { backend: small }).catch(
    (error: unknown) => error,
  );
  expect(ended).toBeInstanceOf(OutOfMemoryError);
  expect((ended as Error).message).toMatch(
    /^wasm: .* needs [0-9.]+ MiB, more than is left of the 24 MiB .*; 2 updates are saved\. Less is /,
  );
  const ways =
    /with train\.checkpoint_activations=true \(--resume goes on\), or .*, or a smaller data\.max_length$/;
  expect((ended as Error).message).toMatch(ways);
  expect(stepsOf(out)).toEqual([1, 2]);
  expect(readdirSync(join(out, 'checkpoints'))).toEqual(['step-2']);
  const { status, steps, error } = JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'));
  expect({ status, steps }).toEqual({ status: 'failed', steps: 2 });
  expect(error).toMatch(/^wasm: .* needs /);

  const less = await configure(out, lengths, ['train.checkpoint_activations=true']);
  expect((await train(less, { backend: small, resume: true })).status).toBe('done');
  expect(stepsOf(out)).toEqual([1, 2, 3, 4]);
  const whole = join(folder, 'whole');
  await train(await configure(whole, lengths), { backend });
  const [a, b] = [out, whole].map((dir) => readFileSync(join(dir, 'adapter/adapter_model.safetensors')));
  expect(a.equals(b)).toBe(true);
  await Promise.all([small.close(), backend.close()]);
});

test('memory that runs out after an update, as in a callback, leaves the line of that update too', async () => {
  const out = join(temporaryFolder(), 'run');
  const backend = openWasm();
  const greedy: Callback = {
    onUpdate({ step }) {
      if (step === 2) throw new OutOfMemoryError('mine needs 9 GiB');
    },
  };
  const ended = train(await configure(out, [8, 8, 8]), { backend, callbacks: [greedy] });
  await expect(ended).rejects.toThrow(/^mine needs 9 GiB; 2 updates are saved\./);
  expect(stepsOf(out)).toEqual([1, 2]);
  expect(readdirSync(join(out, 'checkpoints'))).toEqual(['step-2']);
  await backend.close();
});

/** Options of a run whose memory runs out so many times when update 3 moves the n-th parameter, from 0. */
function fullAt(n: number, times: number) {
  const backend = openWasm({ threads: 1 });
  let [updates, moved, left] = [0, 0, times];
  const full: Backend = {
    ...backend,
    run(op, ...rest) {
      if (op.name === 'adamwUpdate' && updates === 2 && left > 0 && moved++ === n) {
        [moved, left] = [0, left - 1];
        throw new OutOfMemoryError('wasm: p needs 1 MiB');
      }
      return backend.run.call(this, op, ...rest);
    },
  };
  const count: Callback = {
    onUpdate({ step }) {
      updates = step;
    },
  };
  return { backend: full, callbacks: [count] };
}

test.each([0, 1])('memory that runs out at parameter %i is no end where it is there again', async (n) => {
  const folder = temporaryFolder();
  const options = fullAt(n, 1);
  const adapterOf = async (name: string, given: Parameters<typeof train>[1]) => {
    const out = join(folder, name);
    await train(await configure(out, [8, 8, 8, 8]), given);
    return readFileSync(join(out, 'adapter/adapter_model.safetensors'));
  };
  const disturbed = await adapterOf('disturbed', options);
  expect(disturbed.equals(await adapterOf('whole', options))).toBe(true);
  await options.backend.close();
});

test.each([0, 1])(
  'memory that runs out at parameter %i twice ends the run with what is done saved',
  async (n) => {
    const out = join(temporaryFolder(), 'run');
    const options = fullAt(n, 2);
    const ended = train(await configure(out, [8, 8, 8]), options);
    await expect(ended).rejects.toThrow(OutOfMemoryError);
    await expect(ended).rejects.toThrow(/^optimizer "adamw", update 3: wasm: .*; 2 updates are saved\./);
    expect(readdirSync(join(out, 'checkpoints'))).toEqual(['step-2']);
    await options.backend.close();
  },
);

test.each(['train.checkpoint_activations=true', 'train.checkpoint_activations=6'])(
  'where the first update does not fit no update is made, and recomputing is not advised to who does it: %s',
  async (recomputing) => {
    const out = join(temporaryFolder(), 'run');
    const backend = silent(12 * mib);
    const config = await configure(out, [512], [recomputing]);
    await expect(train(config, { backend })).rejects.toThrow(
      /; no update was made\. Less is needed with a smaller train\.batch_size /,
    );
    const { status, steps } = JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'));
    expect({ status, steps }).toEqual({ status: 'failed', steps: 0 });
    expect(existsSync(join(out, 'adapter'))).toBe(false);
    await backend.close();
  },
);

test('weights that do not fit are no matter of batches', async () => {
  const out = join(temporaryFolder(), 'run');
  const backend = silent(2 * mib);
  await expect(train(await configure(out, [8]), { backend })).rejects.toThrow(
    /micro: the weights do not fit the device: wasm: f16\[.*\] needs .* that WebAssembly can have$/,
  );
  expect(existsSync(out)).toBe(false);
  await backend.close();
});
