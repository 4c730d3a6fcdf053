import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { openPeftCase, readTensors } from '@flex/fixtures';
import { openReference } from '@flex/tensor';
import { writeSafetensors } from '@flex/tensor/safetensors';
import { afterAll, expect, test } from 'vitest';
import { readAdapter } from './adapter-file.ts';
import type { LoraConfig } from './lora.ts';
import { llamaLinears } from './testing/llama-linears.ts';
import { checkedWholeShapes, type WeightShapes, wholeShapes } from './whole-weights.ts';

const folder = mkdtempSync(join(tmpdir(), 'flex-whole-'));
afterAll(() => rmSync(folder, { recursive: true }));

const linears = llamaLinears(2, 16, 24, 8, 24);
const table = { shape: [24, 16] };
const norms = ['model.layers.0.input_layernorm', 'model.layers.1.input_layernorm', 'model.norm'];

/** The shapes of a model of the reference values. */
const shapesOf = (tied: boolean): WeightShapes =>
  new Map<string, { readonly shape: readonly number[] }>([
    ['model.embed_tokens.weight', table],
    ...norms.map((path) => [`${path}.weight`, { shape: [16] }] as const),
    ...[...linears].map(([path, size]) => [`${path}.weight`, { shape: [size.out, size.in] }] as const),
    ['lm_head.weight', tied ? table : { shape: [24, 16] }],
  ]);

type Edit = (tensors: Map<string, { shape: readonly number[]; data: Float32Array }>) => void;

/** Reads one of PEFT's adapters after changes in its config and its tensors. */
function readChanged(name: string, change: object = {}, edit: Edit = () => {}) {
  const dir = join(folder, name);
  cpSync(openPeftCase(name).dir, dir, { recursive: true });
  const [config, weights] = [join(dir, 'adapter_config.json'), join(dir, 'adapter_model.safetensors')];
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, 'utf8')), ...change }));
  const tensors = readTensors(weights);
  edit(tensors);
  writeSafetensors(weights, new Map([...tensors].map(([key, t]) => [key, { dtype: 'F32', ...t }])));
  return readAdapter(openReference(), dir, { linears, weights: shapesOf(name.includes('tied')) });
}

const prefix = 'base_model.model.';
const norm = `${prefix}model.norm.weight`;
const rows = `${prefix}model.embed_tokens.token_adapter.trainable_tokens_delta`;
const zeros = (...shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });

const refused: [string, object, Edit, string][] = [
  ['saved', {}, (t) => t.delete(norm), `has no "${norm}"`],
  ['saved', {}, (t) => t.set(norm, zeros(17)), `${norm} expects [16], has [17]`],
  [
    'saved',
    { modules_to_save: ['lm_head'] },
    () => {},
    `tensor "${norm}" is of a module that adapter_config.json`,
  ],
  ['saved', { target_modules: ['q_proj', 'lm_head'] }, () => {}, 'target_modules means "lm_head" too'],
  ['saved-norms', { modules_to_save: ['layernorm'] }, () => {}, 'up_proj.weight" is of a module that'],
  ['tokens', { trainable_token_indices: [1, 2] }, () => {}, `${rows} expects [2, 16], has [3, 16]`],
  [
    'tokens',
    { trainable_token_indices: [1, 2, 24] },
    () => {},
    'different tokens of model.embed_tokens, each in [0, 24); 24',
  ],
  [
    'tokens',
    { trainable_token_indices: [1, 2, 1] },
    () => {},
    '"trainable_token_indices" must be different tokens',
  ],
  [
    'tokens',
    { trainable_token_indices: { lm_head: [1, 2, 3] } },
    () => {},
    'has no "base_model.model.lm_head.token_adapter',
  ],
  ['embedding', { use_dora: true }, () => {}, '"use_dora" is not supported on "model.embed_tokens"'],
  [
    'embedding',
    {},
    (t) => t.set(`${prefix}model.embed_tokens.base_layer.weight`, zeros(25, 16)),
    'expects [24, 16], has [25, 16]',
  ],
  [
    'head',
    { modules_to_save: ['lm_head'] },
    (t) => t.set(`${prefix}lm_head.weight`, zeros(24, 16)),
    '"lm_head" cannot be trained whole and adapted',
  ],
];

test.each(refused)('%s with %j is refused in one line', (name, change, edit, message) => {
  expect(() => readChanged(name, change, edit)).toThrow(DataError);
  expect(() => readChanged(name, change, edit)).toThrow(message);
});

test('what is the base model’s own is told and not taken', () => {
  expect(readChanged('head').warnings).toEqual([
    expect.stringMatching(/has lm_head\.weight of its base model, for which the model's own is taken$/),
  ]);
  expect([...readChanged('head').whole.keys()]).toEqual([]);
  expect(readChanged('saved-tied-ensured').warnings).toEqual([]);
});

test('names of modules mean all below them, and ends of names, as in PEFT', () => {
  const lora = { rank: 1, alpha: 1, dropout: 0, targets: [], scaling: 'alpha/r' } as const;
  const means = (more: object, tied = false) => [
    ...wholeShapes({ ...lora, ...more }, shapesOf(tied), []).keys(),
  ];
  expect(means({ modulesToSave: ['norm'] })).toEqual(norms.map((path) => `${path}.weight`));
  expect(means({ modulesToSave: ['layers.1.mlp'] })).toEqual(
    ['gate', 'up', 'down'].map((name) => `model.layers.1.mlp.${name}_proj.weight`),
  );
  expect(means({ modulesToSave: ['head'], ensureWeightTying: true }, true)).toEqual([
    'model.embed_tokens.weight',
  ]);
  const both = { trainableTokenIndices: { embed_tokens: [1, 2], lm_head: [1, 2] } };
  expect(means(both)).toEqual(['model.embed_tokens.tokens', 'lm_head.tokens']);
  expect(means(both, true)).toEqual(['model.embed_tokens.tokens']);
});

test('biases are those of all modules, of adapted ones, or of modules that are trained whole', () => {
  const [q, o, norm] = ['model.layers.0.self_attn.q_proj', 'model.layers.0.self_attn.o_proj', 'model.norm'];
  const weights = new Map(
    [q, o, norm].flatMap((path) =>
      ['weight', 'bias'].map((member) => [`${path}.${member}`, { shape: [4] }] as const),
    ),
  );
  const lora = { rank: 1, alpha: 1, dropout: 0, targets: [], scaling: 'alpha/r' } as const;
  const means = (more: Partial<LoraConfig>) => [...wholeShapes({ ...lora, ...more }, weights, [q]).keys()];
  expect(means({})).toEqual([]);
  expect(means({ bias: 'all' })).toEqual([`${q}.bias`, `${o}.bias`, `${norm}.bias`]);
  expect(means({ bias: 'lora_only' })).toEqual([`${q}.bias`]);
  expect(means({ bias: 'lora_only', modulesToSave: ['norm'] })).toEqual([
    `${q}.bias`,
    `${norm}.weight`,
    `${norm}.bias`,
  ]);
  const checked = (more: Partial<LoraConfig>) => checkedWholeShapes({ ...lora, ...more }, weights, [q]);
  expect([...checked({ bias: 'all' }).keys()]).toHaveLength(3);
  expect(() => checked({ modulesToSave: ['q_proj'] })).toThrow(`"${q}" is among the targets, and is trained`);
});
