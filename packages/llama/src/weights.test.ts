import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { openReference, scope, tensor } from '@flex/tensor';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Checkpoint, openCheckpoint } from './checkpoint-files.ts';
import { readConfig } from './config.ts';
import { type CausalLM, forward, loadModel, logits } from './model.ts';
import { fabricateModel } from './testing/fabricate-model.ts';
import { writeTinyModel } from './testing/tiny-model.ts';
import { requireWeights, unreadTensors } from './weights.ts';

const dir = mkdtempSync(join(tmpdir(), 'flex-weights-'));
afterAll(() => rmSync(dir, { recursive: true }));

const backend = openReference();
let liveBytes: number;
beforeEach(() => {
  liveBytes = backend.stats.liveBytes;
});
const opened: CausalLM[] = [];
afterEach(() => {
  for (const model of opened.splice(0)) model.dispose();
  expect(backend.stats.liveBytes).toBe(liveBytes);
});

const embedding = 'model.embed_tokens.weight';
const head = 'lm_head.weight';
const up = 'model.layers.0.mlp.up_proj.weight';

type Edit = Parameters<typeof writeTinyModel>[2];

async function load(changes: object, edit?: Edit, dtype: 'f32' | 'f16' | 'auto' = 'f32'): Promise<CausalLM> {
  writeTinyModel(dir, changes, edit);
  const model = await loadModel(backend, dir, { dtype });
  opened.push(model);
  return model;
}

async function logitsOf(model: CausalLM): Promise<number[]> {
  const ids = Int32Array.of(1, 5, 9);
  const result = scope(() => logits(model, forward(model, tensor(backend, ids, [1, 3], 'i32'))));
  const values = [...(await result.data())];
  result.dispose();
  return values;
}

describe('tied embeddings', () => {
  const tie = { tie_word_embeddings: true };
  const copied: Edit = (tensors) => tensors.set(head, tensors.get(embedding)!);

  test('whose checkpoint has a head that differs are not tied, with a warning, as in transformers', async () => {
    const model = await load(tie);
    expect(model.warnings).toEqual([
      `${dir}: config.json ties ${head} to ${embedding}, but the checkpoint has both and they differ: both are used, as in transformers`,
    ]);
    const values = await logitsOf(model);
    expect(values).toEqual(await logitsOf(await load({})));
    expect(values).not.toEqual(await logitsOf(await load({}, copied)));
  });

  test('are one tensor where the checkpoint has one of them, whichever, or both alike', async () => {
    const expected = await logitsOf(await load({}, copied));
    const edits: Edit[] = [
      copied,
      (tensors) => tensors.delete(head),
      (tensors) => {
        tensors.set(head, tensors.get(embedding)!);
        tensors.delete(embedding);
      },
    ];
    for (const edit of edits) {
      const model = await load(tie, edit);
      expect(model.warnings).toEqual([]);
      expect(model.weights.get(head)).toBe(model.weights.get(embedding));
      expect(await logitsOf(model)).toEqual(expected);
    }
  });

  test('that are not there at all are named', async () => {
    const neither: Edit = (tensors) => {
      for (const name of [embedding, head]) tensors.delete(name);
    };
    await expect(load(tie, neither)).rejects.toThrow(
      new DataError(`${dir}: there is no tensor "${embedding}" among the model's 19`),
    );
    await expect(load({}, (tensors) => tensors.delete(head))).rejects.toThrow(`there is no tensor "${head}"`);
  });
});

describe('a weight beyond f16', () => {
  const beyond =
    (value: number): Edit =>
    (tensors) =>
      tensors.get(up)!.fill(value, 3, 5);

  test('keeps its matrix in f32 where f16 was not asked for by name, with a warning', async () => {
    const model = await load({ torch_dtype: 'bfloat16' }, beyond(-70000), 'auto');
    const what = `tensor "${up}" holds -70000, and the largest f16 is 65504`;
    expect(model.warnings).toEqual([`${dir}: ${what}; matrices kept in f32: 1`]);
    expect(model.weights.get(up)?.dtype).toBe('f32');
    expect((await model.weights.get(up)!.data())[3]).toBe(-70000);
    expect(model.weights.get(up.replace('up', 'gate'))?.dtype).toBe('f16');
  });

  test('is refused where f16 was asked for', async () => {
    const what = `tensor "${up}" holds 65520, and the largest f16 is 65504; take dtype f32`;
    await expect(load({}, beyond(65520), 'f16')).rejects.toThrow(new DataError(`${dir}: ${what}`));
  });

  test('is none where it rounds to 65504, or is infinite in the checkpoint', async () => {
    for (const [value, stored] of [
      [65519, 65504],
      [Infinity, Infinity],
    ]) {
      const model = await load({}, beyond(value), 'f16');
      expect(model.warnings).toEqual([]);
      expect((await model.weights.get(up)!.data())[4]).toBe(stored);
    }
  });

  test('is no matter in a checkpoint that says it is in f32', async () => {
    const model = await load({ torch_dtype: 'float32' }, beyond(70000), 'auto');
    expect(model.warnings).toEqual([]);
    expect(new Set([...model.weights.values()].map(({ dtype }) => dtype))).toEqual(new Set(['f32']));
  });
});

test('a window that decoding has and a pass over the whole text has not is told of', async () => {
  const tiny = join(dir, 'tiny');
  const warnings = async (changes: object) => {
    writeTinyModel(tiny, { max_position_embeddings: 16, ...changes });
    return (await loadModel(openReference(), tiny, { dtype: 'f32' })).warnings;
  };
  const told =
    `${tiny}: config.json's "sliding_window" lets decoded tokens see others than in a pass over the ` +
    'whole text, as in transformers';
  expect(await warnings({ sliding_window: 15 })).toEqual([told]);
  expect(await warnings({ sliding_window: 16 })).toEqual([]);
  expect(await warnings({ sliding_window: 1 })).toEqual([]);
  expect(await warnings({ model_type: 'mistral', sliding_window: 15, num_key_value_heads: 2 })).toEqual([]);
  expect(await warnings({ model_type: 'mistral', sliding_window: 1, num_key_value_heads: 2 })).toEqual([
    told,
  ]);
});

test('biases that config.json does not mean are told of, and those that it means are needed', async () => {
  const fabricated = join(dir, 'fabricated');
  const sizes = { hidden_size: 16, intermediate_size: 24, num_attention_heads: 2, num_key_value_heads: 2 };
  const config = { ...sizes, num_hidden_layers: 2, vocab_size: 400 };
  fabricateModel(fabricated, { model: 'qwen2.5-coder', config });
  const path = join(fabricated, 'config.json');
  const qwen2 = JSON.parse(readFileSync(path, 'utf8'));
  const warnings = async (changes: object) => {
    writeFileSync(path, JSON.stringify({ ...qwen2, ...changes }));
    return (await loadModel(openReference(), fabricated, { dtype: 'f32' })).warnings;
  };
  expect(await warnings({})).toEqual([]);
  const first = 'model.layers.0.self_attn.k_proj.bias'; // in the order of the file
  const [warning, ...others] = await warnings({ model_type: 'llama' });
  expect(warning).toBe(`${fabricated}: config.json has no layer for tensor "${first}"; not read: 6`);
  expect(others).toEqual([]);
  await expect(warnings({ model_type: 'llama', attention_bias: true })).rejects.toThrow(
    `${fabricated}: there is no tensor "model.layers.0.self_attn.o_proj.bias"`,
  );
});

test('a shape that config.json does not make is told with the keys that make it', async () => {
  const q = 'model.layers.0.self_attn.q_proj.weight';
  await expect(load({ head_dim: 6 })).rejects.toThrow(
    new DataError(
      `${dir}: tensor "${q}" is [8, 8], but config.json makes it [12, 8]: num_attention_heads · head_dim, hidden_size`,
    ),
  );
  await expect(load({ vocab_size: 11 })).rejects.toThrow(/makes it \[11, 8\]: vocab_size, hidden_size$/);
});

test('a tensor that config.json has no layer for is told of, but for the frequencies of old files', async () => {
  const extra = 'model.layers.1.input_layernorm.weight';
  const model = await load({ num_hidden_layers: 1 });
  expect(model.warnings).toEqual([`${dir}: config.json has no layer for tensor "${extra}"; not read: 9`]);
  writeTinyModel(dir);
  const checkpoint = openCheckpoint(dir);
  const names = () => [...checkpoint.names(), 'model.layers.0.self_attn.rotary_emb.inv_freq', 'more'];
  expect(unreadTensors({ ...checkpoint, names }, readConfig(dir))).toEqual(['more']);
  const spec: Checkpoint['spec'] = (name) => ({ ...checkpoint.spec(name), dtype: 'I32' });
  const words = `tensor "${embedding}" is I32; weights must be F64, F32, F16 or BF16`;
  expect(() => requireWeights({ ...checkpoint, spec }, readConfig(dir))).toThrow(
    new DataError(`${dir}: ${words}`),
  );
  checkpoint.close();
});
