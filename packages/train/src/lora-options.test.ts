import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { openPeftCase, readTensors } from '@flex/fixtures';
import { openWasm } from '@flex/tensor';
import { relativeError } from '@flex/tensor/testing';
import { beforeEach, expect, test } from 'vitest';
import { type Callback, loadConfig, type TrainOptions, train } from './index.ts';

const base = openPeftCase('dora').model;
const backend = openWasm();

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
  const rows = Array.from({ length: 6 }, (_, row) => ({
    input_ids: Array.from({ length: 9 }, (_, i) => 3 + ((7 * row + 5 * i * (row + 1)) % 21)),
  }));
  writeFileSync(join(folder, 'rows.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
});

/** Trains a tiny model for 4 updates, and gives the losses on its training data before and after. */
async function run(out: string, overrides: readonly string[], options: Partial<TrainOptions> = {}) {
  const rows = join(folder, 'rows.jsonl');
  const config = await loadConfig({
    overrides: [
      ...[`model=${base}`, `data.source=${rows}`, `eval={source: ${rows}}`, `out=${join(folder, out)}`],
      'data.allow_overlap=true',
      ...['dtype=f32', 'train.batch_size=3', 'train.epochs=2', 'train.save_every=0', 'optimizer.lr=0.01'],
      ...['regularizer=none', ...overrides],
    ],
  });
  const { eval: losses, ...summary } = await train(config, { backend, ...options });
  return { ...summary, losses: Object.values(losses)[0] };
}
const bytesOf = (out: string) => readFileSync(join(folder, out, 'adapter/adapter_model.safetensors'));
const configOf = (out: string) =>
  JSON.parse(readFileSync(join(folder, out, 'adapter/adapter_config.json'), 'utf8'));

test.each([
  ['lora.init=pissa'],
  ['lora.init=olora', 'lora.dora=true', 'lora.scaling=alpha/sqrt(r)'],
  ['lora.lora_bias=true', 'lora.layers_to_transform=[1]', 'lora.rank_pattern={up_proj: 3}'],
])(
  'a run with %s starts as the model, goes on when interrupted, and saves what it means',
  async (...options) => {
    const fresh = ['lora.rank=2', ...options];
    const plain = await run('plain', ['train.max_steps=1']);
    const whole = await run('whole', fresh);
    expect(whole.losses.before!).toBeCloseTo(plain.losses.before!, 5);
    expect(whole.losses.after).toBeLessThan(whole.losses.before! - 0.01);

    const interrupt = new AbortController();
    const onUpdate: Callback['onUpdate'] = ({ step }) => {
      if (step === 2) interrupt.abort();
    };
    const first = await run('parts', fresh, { signal: interrupt.signal, callbacks: [{ onUpdate }] });
    expect(first.status).toBe('interrupted');
    await run('parts', fresh, { resume: true });
    expect(bytesOf('parts').equals(bytesOf('whole'))).toBe(true);

    // The model that it is continued on is as it was before anything was taken out of it.
    const kept = options.filter((option) => !/init|rank/.test(option));
    const adapter = `adapter=${join(folder, 'whole/adapter')}`;
    const again = await run('again', ['train.max_steps=1', adapter, ...kept]);
    expect(again.losses.before).toBeCloseTo(whole.losses.after, 5);
    expect(configOf('whole').r).toBe(/pissa|olora/.test(options[0]) ? 4 : 2);
    const names = [...readTensors(join(folder, 'whole/adapter/adapter_model.safetensors')).keys()];
    const has = (suffix: string) => names.some((name) => name.endsWith(suffix));
    expect(has('lora_magnitude_vector')).toBe(options.includes('lora.dora=true'));
    expect(has('lora_B.bias')).toBe(options.includes('lora.lora_bias=true'));
  },
);

test('LoRA+ moves B by its ratio, and by 1 as without it, bit for bit', async () => {
  const once = ['train.max_steps=1', 'lora.rank=2', 'optimizer.weight_decay=0'];
  const weightsOf = async (out: string, ...more: string[]) => {
    await run(out, [...once, ...more]);
    return [...readTensors(join(folder, out, 'adapter/adapter_model.safetensors'))];
  };
  const plain = await weightsOf('plain');
  await run('one', [...once, 'optimizer.lora_plus_ratio=1']);
  expect(bytesOf('one').equals(bytesOf('plain'))).toBe(true);
  const fast = new Map(await weightsOf('fast', 'optimizer.lora_plus_ratio=16'));
  for (const [name, { data }] of plain) {
    const factor = name.includes('lora_B') ? 16 : 1; // B starts at zero
    const expected = data.map((x) => factor * x);
    expect(relativeError(fast.get(name)!.data, expected), name).toBeLessThan(1e-6);
  }
});

test('biases of a model that has none mean nothing, which the run says', async () => {
  const warnings: string[] = [];
  const onStart: Callback['onStart'] = ({ info }) => void warnings.push(...info.warnings);
  await run('a', ['eval=[]', 'train.max_steps=1', 'lora.bias=all'], { callbacks: [{ onStart }] });
  await run('b', ['eval=[]', 'train.max_steps=1'], { callbacks: [{ onStart }] });
  expect(warnings).toEqual(['lora.bias is "all", which means nothing: there are no such biases']);
  expect(bytesOf('a').equals(bytesOf('b'))).toBe(true);
  expect(configOf('a').bias).toBe('all');
});
