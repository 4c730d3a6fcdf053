import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { openReference, scope, tensor } from '@flex/tensor';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { forward, type LlamaModel, loadLlama, logits } from './model.ts';
import { writeTinyModel } from './testing/tiny-model.ts';

const dir = mkdtempSync(join(tmpdir(), 'flex-weights-'));
afterAll(() => rmSync(dir, { recursive: true }));

const backend = openReference();
let liveBytes: number;
beforeEach(() => {
  liveBytes = backend.stats.liveBytes;
});
const opened: LlamaModel[] = [];
afterEach(() => {
  for (const model of opened.splice(0)) model.dispose();
  expect(backend.stats.liveBytes).toBe(liveBytes);
});

const embedding = 'model.embed_tokens.weight';
const head = 'lm_head.weight';
const up = 'model.layers.0.mlp.up_proj.weight';

type Edit = Parameters<typeof writeTinyModel>[2];

function load(changes: object, edit?: Edit, dtype: 'f32' | 'f16' | 'auto' = 'f32'): LlamaModel {
  writeTinyModel(dir, changes, edit);
  const model = loadLlama(backend, dir, { dtype });
  opened.push(model);
  return model;
}

async function logitsOf(model: LlamaModel): Promise<number[]> {
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
    const model = load(tie);
    expect(model.warnings).toEqual([
      `${dir}: config.json ties ${head} to ${embedding}, but the checkpoint has both and they differ: both are used, as in transformers`,
    ]);
    const values = await logitsOf(model);
    expect(values).toEqual(await logitsOf(load({})));
    expect(values).not.toEqual(await logitsOf(load({}, copied)));
  });

  test('are one tensor where the checkpoint has one of them, whichever, or both alike', async () => {
    const expected = await logitsOf(load({}, copied));
    const edits: Edit[] = [
      copied,
      (tensors) => tensors.delete(head),
      (tensors) => {
        tensors.set(head, tensors.get(embedding)!);
        tensors.delete(embedding);
      },
    ];
    for (const edit of edits) {
      const model = load(tie, edit);
      expect(model.warnings).toEqual([]);
      expect(model.weights.get(head)).toBe(model.weights.get(embedding));
      expect(await logitsOf(model)).toEqual(expected);
    }
  });

  test('that are not there at all are named', () => {
    const neither: Edit = (tensors) => {
      for (const name of [embedding, head]) tensors.delete(name);
    };
    expect(() => load(tie, neither)).toThrow(
      new DataError(`${dir}: there is no tensor "${embedding}" among the model's 19`),
    );
    expect(() => load({}, (tensors) => tensors.delete(head))).toThrow(`there is no tensor "${head}"`);
  });
});

describe('a weight beyond f16', () => {
  const beyond =
    (value: number): Edit =>
    (tensors) =>
      tensors.get(up)!.fill(value, 3, 5);

  test('keeps its matrix in f32 where f16 was not asked for by name, with a warning', async () => {
    const model = load({ torch_dtype: 'bfloat16' }, beyond(-70000), 'auto');
    const what = `tensor "${up}" holds -70000, and the largest f16 is 65504`;
    expect(model.warnings).toEqual([`${dir}: ${what}; matrices kept in f32: 1`]);
    expect(model.weights.get(up)?.dtype).toBe('f32');
    expect((await model.weights.get(up)!.data())[3]).toBe(-70000);
    expect(model.weights.get(up.replace('up', 'gate'))?.dtype).toBe('f16');
  });

  test('is refused where f16 was asked for', () => {
    const what = `tensor "${up}" holds 65520, and the largest f16 is 65504; take dtype f32`;
    expect(() => load({}, beyond(65520), 'f16')).toThrow(new DataError(`${dir}: ${what}`));
  });

  test('is none where it rounds to 65504, or is infinite in the checkpoint', async () => {
    for (const [value, stored] of [
      [65519, 65504],
      [Infinity, Infinity],
    ]) {
      const model = load({}, beyond(value), 'f16');
      expect(model.warnings).toEqual([]);
      expect((await model.weights.get(up)!.data())[4]).toBe(stored);
    }
  });

  test('is no matter in a checkpoint that says it is in f32', () => {
    const model = load({ torch_dtype: 'float32' }, beyond(70000), 'auto');
    expect(model.warnings).toEqual([]);
    expect(new Set([...model.weights.values()].map(({ dtype }) => dtype))).toEqual(new Set(['f32']));
  });
});

test('a shape that config.json does not make is told with the keys that make it', () => {
  const q = 'model.layers.0.self_attn.q_proj.weight';
  expect(() => load({ head_dim: 6 })).toThrow(
    new DataError(
      `${dir}: tensor "${q}" is [8, 8], but config.json makes it [12, 8]: num_attention_heads · head_dim, hidden_size`,
    ),
  );
  expect(() => load({ vocab_size: 11 })).toThrow(/makes it \[11, 8\]: vocab_size, hidden_size$/);
});
