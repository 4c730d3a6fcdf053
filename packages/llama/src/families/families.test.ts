import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { afterAll, expect, test } from 'vitest';
import { readConfig } from '../config.ts';
import { linearSizes, weightShapes } from '../weights.ts';
import { modelTypes } from './index.ts';

const dir = mkdtempSync(join(tmpdir(), 'flex-families-'));
const path = join(dir, 'config.json');
afterAll(() => rmSync(dir, { recursive: true }));

const least = {
  hidden_size: 256,
  intermediate_size: 48,
  num_hidden_layers: 3,
  num_attention_heads: 32,
  vocab_size: 320,
};
function read(modelType: string, changes: object = {}) {
  writeFileSync(path, JSON.stringify({ ...least, model_type: modelType, ...changes }));
  return readConfig(dir);
}
const refused = (modelType: string, changes: object, message: string) =>
  expect(() => read(modelType, changes)).toThrow(new DataError(`${path}: ${message}`));

const none = { qkv: false, o: false, mlp: false };
const all = { qkv: true, o: true, mlp: true };

/** What transformers 5.18's configuration classes have for keys that are absent. */
const defaults: Record<string, object> = {
  llama: {
    ...{ kvHeads: 32, headDim: 8, maxPositions: 2048, tieWordEmbeddings: false, bosId: 1, eosIds: [2] },
    ...{ norm: 'rms', normEps: 1e-6, normOffset: 0, biases: none, qkNorm: false, embeddingScale: 1 },
    ...{ mlp: 'gated', activation: 'silu', windows: [null, null, null] },
  },
  qwen2: {
    ...{ kvHeads: 32, headDim: 8, maxPositions: 32768, tieWordEmbeddings: false, bosId: null, eosIds: [] },
    ...{ norm: 'rms', normEps: 1e-6, normOffset: 0, biases: { ...none, qkv: true }, qkNorm: false },
    ...{ mlp: 'gated', activation: 'silu', embeddingScale: 1, windows: [null, null, null] },
  },
  qwen3: {
    ...{ kvHeads: 32, headDim: 128, maxPositions: 32768, tieWordEmbeddings: false, bosId: null, eosIds: [] },
    ...{ norm: 'rms', normEps: 1e-6, normOffset: 0, biases: none, qkNorm: true, embeddingScale: 1 },
    ...{ mlp: 'gated', activation: 'silu', windows: [null, null, null] },
  },
  mistral: {
    ...{ kvHeads: 8, headDim: 8, maxPositions: 131072, tieWordEmbeddings: false, bosId: 1, eosIds: [2] },
    ...{ norm: 'rms', normEps: 1e-6, normOffset: 0, biases: none, qkNorm: false, embeddingScale: 1 },
    ...{ mlp: 'gated', activation: 'silu', windows: [4096, 4096, 4096] },
  },
  starcoder2: {
    ...{ kvHeads: 2, headDim: 8, maxPositions: 4096, tieWordEmbeddings: true, bosId: 50256, eosIds: [50256] },
    ...{ norm: 'layer', normEps: 1e-5, normOffset: 0, biases: all, qkNorm: false, embeddingScale: 1 },
    ...{ mlp: 'plain', activation: 'gelu_tanh', windows: [null, null, null] },
  },
  gemma: {
    ...{ kvHeads: 16, headDim: 256, maxPositions: 8192, tieWordEmbeddings: true, bosId: 2, eosIds: [1] },
    ...{ norm: 'rms', normEps: 1e-6, normOffset: 1, biases: none, qkNorm: false, embeddingScale: 16 },
    ...{ mlp: 'gated', activation: 'gelu_tanh', windows: [null, null, null] },
  },
};

test.each(modelTypes)("%s of the sizes alone has the defaults of transformers' class", (modelType) => {
  expect(read(modelType)).toMatchObject({ modelType, ...defaults[modelType] });
});

test('key-value heads that are null are as many as heads where the class says so', () => {
  for (const modelType of ['llama', 'qwen2', 'qwen3', 'mistral'])
    expect(read(modelType, { num_key_value_heads: null }).kvHeads).toBe(32);
});

test('names of activations mean what they mean in transformers', () => {
  const names = (modelType: string) =>
    ['silu', 'swish', 'gelu', 'gelu_new', 'gelu_pytorch_tanh'].map(
      (hidden_act) => read(modelType, { hidden_act }).activation,
    );
  expect(names('llama')).toEqual(['silu', 'silu', 'gelu', 'gelu_tanh', 'gelu_tanh']);
  expect(names('gemma')).toEqual(['silu', 'silu', 'gelu_tanh', 'gelu_tanh', 'gelu_tanh']);
});

test('windows of Qwen are those of its layer_types, or of its last layers, and none unless they are on', () => {
  const on = { use_sliding_window: true, sliding_window: 7 };
  const types = ['sliding_attention', 'full_attention', 'sliding_attention'];
  for (const modelType of ['qwen2', 'qwen3']) {
    const windows = (changes: object) => read(modelType, changes).windows;
    expect(windows({ ...on, max_window_layers: 1 })).toEqual([null, 7, 7]);
    expect(windows({ ...on, max_window_layers: 3 })).toEqual([null, null, null]);
    expect(windows({ ...on, layer_types: types, max_window_layers: 0 })).toEqual([7, null, 7]);
    expect(windows({ ...on, use_sliding_window: false, max_window_layers: 0 })).toEqual([null, null, null]);
    const few = ['full_attention'];
    refused(
      modelType,
      { layer_types: few },
      `"layer_types" is wrong: must have one for each of the 3 layers; it is ${JSON.stringify(few)}`,
    );
    expect(() => windows({ layer_types: types })).toThrow(/"layer_types" is wrong: must be full_attention/);
    expect(() => windows({ ...on, layer_types: ['chunked_attention'] })).toThrow(
      /"layer_types.0" is wrong: must be full_attention or sliding_attention: others are not supported/,
    );
  }
  for (const modelType of ['mistral', 'starcoder2']) {
    expect(read(modelType, { sliding_window: 5 }).windows).toEqual([5, 5, 5]);
    expect(read(modelType, { sliding_window: null }).windows).toEqual([null, null, null]);
    const rule = 'must be a whole number > 0';
    refused(modelType, { sliding_window: 0 }, `"sliding_window" is wrong: ${rule}; it is 0`);
    refused(
      modelType,
      { layer_types: ['full_attention'] },
      '"layer_types" is wrong: must be absent: this family has one window for all layers; it is ["full_attention"]',
    );
  }
});

test("a window is that of transformers' cache too, which keeps all tokens where it is 1", () => {
  const types = ['sliding_attention', 'full_attention', 'sliding_attention'];
  for (const modelType of ['llama', 'gemma']) {
    // Their classes know no window, but the cache reads the key.
    const windowed = (changes: object) => read(modelType, { sliding_window: 5, ...changes });
    expect(windowed({}).windows).toEqual([null, null, null]);
    expect(windowed({}).cachedWindows).toEqual([5, 5, 5]);
    expect(windowed({ layer_types: types }).cachedWindows).toEqual([5, null, 5]);
    expect(windowed({ sliding_window: 1 }).cachedWindows).toEqual([null, null, null]);
    expect(windowed({ sliding_window: null }).cachedWindows).toEqual([null, null, null]);
    const unused = 'must be full_attention alone where no sliding_window is in use';
    const asText = JSON.stringify(types);
    refused(modelType, { layer_types: types }, `"layer_types" is wrong: ${unused}; it is ${asText}`);
  }
  for (const modelType of ['mistral', 'starcoder2', 'qwen2', 'qwen3']) {
    const on = { use_sliding_window: true, max_window_layers: 0 };
    const one = read(modelType, { ...on, sliding_window: 1 });
    expect([one.windows, one.cachedWindows]).toEqual([
      [1, 1, 1],
      [null, null, null],
    ]);
    expect(read(modelType, { ...on, sliding_window: 2 }).cachedWindows).toEqual([2, 2, 2]);
  }
});

test('what a family does not have here is refused by its key', () => {
  expect(read('gemma', { use_bidirectional_attention: null }).modelType).toBe('gemma');
  const later = 'must be false: attention to later tokens is not supported';
  refused(
    'gemma',
    { use_bidirectional_attention: true },
    `"use_bidirectional_attention" is wrong: ${later}; it is true`,
  );
});

test.each([
  ['llama', { attention_bias: true }, ['q', 'k', 'v', 'o'].map((name) => `self_attn.${name}_proj`)],
  ['llama', { mlp_bias: true }, ['gate', 'up', 'down'].map((name) => `mlp.${name}_proj`)],
  ['qwen2', {}, ['q', 'k', 'v'].map((name) => `self_attn.${name}_proj`)],
  ['qwen3', { attention_bias: true }, ['q', 'k', 'v', 'o'].map((name) => `self_attn.${name}_proj`)],
  ['mistral', {}, []],
  ['starcoder2', { use_bias: false }, ['input_layernorm', 'post_attention_layernorm', 'norm']],
  ['gemma', { attention_bias: true }, ['q', 'k', 'v', 'o'].map((name) => `self_attn.${name}_proj`)],
] as const)('%s with %j has these biases', (modelType, changes, modules) => {
  const shapes = weightShapes(read(modelType, changes));
  const biases = [...shapes].filter(([name]) => name.endsWith('.bias'));
  const ends = biases.map(([name]) => name.replace(/^model\.(layers\.\d+\.)?/, '').replace(/\.bias$/, ''));
  expect(new Set(ends)).toEqual(new Set(modules));
  for (const [name, shape] of biases)
    expect(shape).toEqual([shapes.get(name.replace(/bias$/, 'weight'))![0]]);
});

test('layers without a gate have c_fc and c_proj, and heads with norms have two weights of their size', () => {
  const plain = linearSizes(read('starcoder2'));
  expect([...plain.keys()].filter((name) => name.includes('.0.mlp.'))).toEqual(
    ['c_fc', 'c_proj'].map((name) => `model.layers.0.mlp.${name}`),
  );
  expect(plain.get('model.layers.2.mlp.c_proj')).toEqual({ out: 256, in: 48 });
  const shapes = weightShapes(read('qwen3', { head_dim: 6 }));
  for (const name of ['q_norm', 'k_norm'])
    expect(shapes.get(`model.layers.1.self_attn.${name}.weight`)).toEqual([6]);
});
