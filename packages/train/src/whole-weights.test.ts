import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@flex/base';
import { peftInputs, peftModel, readTensors } from '@flex/fixtures';
import { openWasm } from '@flex/tensor';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig, type StepMetrics, type TrainOptions, train } from './index.ts';

const backend = openWasm();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-whole-'));
  const { input_ids, labels } = peftInputs();
  const rows = input_ids.map((ids, i) => JSON.stringify({ input_ids: ids, labels: labels[i] }));
  writeFileSync(join(folder, 'data.jsonl'), rows.join('\n'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Trains a model of the reference values for a few updates on their tokens. */
async function run(
  out: string,
  model: 'base' | 'tied',
  overrides: readonly string[],
  options: Partial<TrainOptions> = {},
) {
  const config = await loadConfig({
    overrides: [
      `model=${peftModel(model)}`,
      `data.source=${join(folder, 'data.jsonl')}`,
      `out=${join(folder, out)}`,
      'dtype=f32',
      'lora.rank=2',
      'regularizer=none',
      'optimizer.lr=0.02',
      'train.batch_size=2',
      'train.epochs=6',
      'train.save_every=0',
      ...overrides,
    ],
  });
  const losses: number[] = [];
  const record = { onLine: (_: unknown, line: StepMetrics) => void losses.push(line.loss) };
  await train(config, {
    backend,
    ...options,
    callbacks: [record, ...(options.callbacks ?? [])],
  });
  return losses;
}

const fileOf = (out: string) => join(folder, out, 'adapter/adapter_model.safetensors');
const bytesOf = (out: string) => readFileSync(fileOf(out));

const everything = [
  'lora.targets=[embed_tokens, q_proj]',
  'lora.modules_to_save=[model.norm, layers.1.mlp]',
  'lora.trainable_token_indices={lm_head: [5, 7]}',
];

test('an embedding’s adapter, modules, and rows of tokens are trained from the model’s own values', async () => {
  const losses = await run('r', 'base', everything);
  expect(losses.at(-1)!).toBeLessThan(0.7 * losses[0]);
  const [trained, own] = [
    readTensors(fileOf('r')),
    readTensors(join(peftModel('base'), 'model.safetensors')),
  ];
  const names = [...trained.keys()].map((name) => name.replace('base_model.model.', ''));
  expect(names.filter((name) => !name.includes('q_proj')).sort()).toEqual([
    'lm_head.token_adapter.trainable_tokens_delta',
    'model.embed_tokens.lora_embedding_A',
    'model.embed_tokens.lora_embedding_B',
    'model.layers.1.mlp.down_proj.weight',
    'model.layers.1.mlp.gate_proj.weight',
    'model.layers.1.mlp.up_proj.weight',
    'model.norm.weight',
  ]);
  await run('none', 'base', [
    ...everything,
    'optimizer.lr=1e-30',
    'train.epochs=1',
    'optimizer.weight_decay=0',
  ]);
  const start = readTensors(fileOf('none'));
  for (const name of ['model.norm.weight', 'model.layers.1.mlp.up_proj.weight']) {
    expect(start.get(`base_model.model.${name}`)).toEqual(own.get(name));
    expect(trained.get(`base_model.model.${name}`)).not.toEqual(own.get(name));
  }
  const rows = start.get('base_model.model.lm_head.token_adapter.trainable_tokens_delta')!.data;
  const table = own.get('lm_head.weight')!.data;
  expect([...rows]).toEqual([5, 7].flatMap((id) => [...table.subarray(16 * id, 16 * (id + 1))]));
});

test('resumed, continued and with recomputed activations they give the bytes that they would have given', async () => {
  await run('whole', 'base', everything);
  const interrupt = new AbortController();
  const stop = { onUpdate: ({ step }: { step: number }) => void (step === 3 && interrupt.abort()) };
  await run('parts', 'base', everything, { signal: interrupt.signal, callbacks: [stop] });
  await run('parts', 'base', everything, { resume: true });
  expect(bytesOf('parts').equals(bytesOf('whole'))).toBe(true);
  await run('recomputed', 'base', [...everything, 'train.checkpoint_activations=true']);
  expect(bytesOf('recomputed').equals(bytesOf('whole'))).toBe(true);
  const from = [`adapter=${join(folder, 'whole/adapter')}`, 'lora.targets=[q_proj, embed_tokens]'];
  const losses = await run('continued', 'base', from);
  expect(losses[0]).toBeLessThan((await run('again', 'base', everything))[5]);
});

test.each([
  [['lora.targets=[embed_tokens]', 'lora.ensure_weight_tying=true']],
  [['lora.targets=[q_proj]', 'lora.modules_to_save=[lm_head]', 'lora.ensure_weight_tying=true']],
  [['lora.targets=[q_proj]', 'lora.trainable_token_indices=[5, 7]']],
])('a tied lm_head follows the embedding: %j', async (overrides) => {
  const losses = await run('r', 'tied', overrides);
  expect(losses.at(-1)!).toBeLessThan(losses[0]);
  const found = readTensors(fileOf('r'));
  // PEFT has a weight that is trained whole under both names.
  const [table, again] = ['model.embed_tokens', 'lm_head'].map((path) =>
    found.get(`base_model.model.${path}.weight`),
  );
  expect(again).toEqual(table);
  const others = [...found.keys()].filter(
    (name) => name.includes('lm_head') && !name.endsWith('.lm_head.weight'),
  );
  expect(others).toEqual([]);
});

const refused: [string[], string][] = [
  [
    ['lora.modules_to_save=[nrom]'],
    'lora.modules_to_save: "nrom" is no module of the model; the nearest are norm',
  ],
  [['lora.trainable_token_indices=[3, 24]'], 'each in [0, 24); 24 is not, or'],
  [['lora.trainable_token_indices=[3, 3]'], 'must be different tokens of model.embed_tokens'],
  [['lora.trainable_token_indices={embeddings: [3]}'], 'lora.trainable_token_indices'],
  [
    ['lora.targets=[up_proj]', 'lora.modules_to_save=[mlp]'],
    '"model.layers.0.mlp.up_proj" is among the targets, and',
  ],
  [['lora.targets=[lm_head]', 'lora.ensure_weight_tying=true'], 'lm_head follows embed_tokens'],
  [['model=BASE', 'lora.ensure_weight_tying=true'], 'the model has an lm_head of its own; leave it out'],
  [
    ['lora.targets=[embed_tokens]', 'lora.dora=true'],
    'lora.dora: true is for linear layers, not for model.embed_tokens',
  ],
  [['lora.targets=[embed_tokens]', 'lora.init=pissa'], 'lora.init: pissa is for linear layers, not for'],
];

test.each(refused)('%j is refused', async (overrides, message) => {
  const failed = run(
    'r',
    'tied',
    overrides.map((text) => text.replace('BASE', peftModel('base'))),
  );
  await expect(failed).rejects.toThrow(ConfigError);
  await expect(failed).rejects.toThrow(message);
});
