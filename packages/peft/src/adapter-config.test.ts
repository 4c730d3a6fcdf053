import { readFileSync } from 'node:fs';
import { DataError } from '@flex/base';
import { peftDefaults } from '@flex/fixtures';
import { expect, test } from 'vitest';
import { formatAdapterConfig, parseAdapterConfig } from './adapter-config.ts';

const defaults = JSON.parse(readFileSync(peftDefaults, 'utf8')) as Record<string, unknown>;
const parse = (change: object) => parseAdapterConfig('f', JSON.stringify({ ...defaults, ...change }));

/** Values that PEFT 0.21 takes, of each of its keys: what they mean here. */
const supported = {
  alpha_pattern: { q_proj: 2 },
  bias: 'all',
  ensure_weight_tying: true,
  exclude_modules: ['o_proj'],
  init_lora_weights: 'pissa',
  layers_pattern: 'layers',
  layers_to_transform: [1],
  lora_alpha: 4,
  lora_bias: true,
  lora_dropout: 0.5,
  modules_to_save: ['lm_head'],
  r: 4,
  rank_pattern: { q_proj: 2 },
  target_modules: ['q_proj'],
  trainable_token_indices: { embed_tokens: [1] },
  use_dora: true,
  use_rslora: true,
};
const withoutEffect = {
  auto_mapping: { base_model_class: 'LlamaForCausalLM' },
  base_model_name_or_path: 'org/name',
  eva_config: { rho: 2 },
  inference_mode: false,
  megatron_config: { tensor_model_parallel_size: 1 },
  megatron_core: 'other',
  peft_version: '0.10.0',
  qalora_group_size: 32,
  revision: 'main',
  task_type: null,
};
const refused = {
  alora_invocation_tokens: [1],
  arrow_config: { top_k: 3 },
  corda_config: { corda_method: 'ipm' },
  fan_in_fan_out: true,
  kasa_config: { beta: 1e-4 },
  layer_replication: [[0, 2]],
  loftq_config: { loftq_bits: 4 },
  lora_ga_config: { direction: 'ArBr' },
  monteclora_config: { num_samples: 8 },
  peft_type: 'ADALORA',
  target_parameters: ['experts.gate_up_proj'],
  use_bdlora: { nblocks: 2 },
  use_qalora: true,
  velora_config: { num_groups: 4 },
};

test('every key that PEFT saves is supported, without effect, or refused', () => {
  expect(Object.keys({ ...supported, ...withoutEffect, ...refused }).sort()).toEqual(
    Object.keys(defaults).sort(),
  );
});

test.each(Object.entries(supported))('%s is supported', (key, value) => {
  const needs = key === 'layers_pattern' ? { layers_to_transform: [1] } : {};
  expect(parse({ ...needs, [key]: value }).lora).not.toEqual(parse(needs).lora);
});

test.each(Object.entries(withoutEffect))('%s has no effect', (key, value) => {
  const { lora, warnings } = parse({ [key]: value });
  expect({ lora, warnings }).toEqual({ lora: parse({}).lora, warnings: [] });
});

test.each([
  ...Object.entries(refused),
  ...['loftq', 'corda', 'lora_ga', 'pissa_niter_4'].map((value) => ['init_lora_weights', value] as const),
])('%s = %j is refused by its name', (key, value) => {
  expect(() => parse({ [key]: value })).toThrow(DataError);
  expect(() => parse({ [key]: value })).toThrow(
    new RegExp(`^f: "${key}" is .* not supported; it must be .*$`),
  );
});

test('a key that PEFT 0.21 does not have is passed over with a warning, unless it is off', () => {
  expect(parse({ use_hyper_lora: true }).warnings).toEqual([
    'f: "use_hyper_lora" is unknown, and passed over',
  ]);
  for (const off of [null, false, [], {}]) expect(parse({ use_hyper_lora: off }).warnings).toEqual([]);
});

test('a config that says nothing is written with the values that PEFT saves', () => {
  const text = formatAdapterConfig(
    { rank: 8, alpha: 8, dropout: 0, targets: ['q_proj'], scaling: 'alpha/r' },
    [],
    null,
  );
  expect(JSON.parse(text)).toEqual({ ...defaults, target_modules: ['q_proj'] });
});

test.each([
  [{ modules_to_save: 'lm_head' }, '"modules_to_save" must be a list of names, it is "lm_head"'],
  [
    { trainable_token_indices: [1.5] },
    '"trainable_token_indices" must be a list of token ids, or one for each name',
  ],
  [
    { trainable_token_indices: { wte: [1] } },
    '"trainable_token_indices" has "wte", which is not supported; embed_tokens',
  ],
  [{ ensure_weight_tying: 1 }, '"ensure_weight_tying" must be true or false, it is 1'],
])('%j is refused', (change, message) => {
  expect(() => parse(change)).toThrow(`f: ${message}`);
});
