import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openReference, openWasm } from '@flex/tensor';
import { afterAll, expect, test } from 'vitest';
import { openCheckpoint } from '../checkpoint-files.ts';
import { readConfig } from '../config.ts';
import { generate } from '../generate.ts';
import { loadModel } from '../model.ts';
import { openTokenizer } from '../tokenizer/open-tokenizer.ts';
import { type FabricateOptions, fabricateModel } from './fabricate-model.ts';
import { sevenBillionConfigs } from './seven-billion-configs.ts';

const root = mkdtempSync(join(tmpdir(), 'flex-fabricate-'));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
/** Fabricates a small model into a folder of its own. */
const fabricate = (options: FabricateOptions = {}) => {
  const dir = join(root, String(folders++));
  return { dir, ...fabricateModel(dir, { config, ...options }) };
};

const small = { hidden_size: 16, intermediate_size: 24, num_attention_heads: 2, num_key_value_heads: 2 };
const config = { ...small, num_hidden_layers: 3, vocab_size: 1200 };

const digest = (dir: string) =>
  readdirSync(dir)
    .sort()
    .map((file) =>
      createHash('sha256')
        .update(file)
        .update(readFileSync(join(dir, file)))
        .digest('hex'),
    );

test('is a model in shards that loads, encodes, decodes and generates', async () => {
  const { dir, files, bytes } = fabricate({ maxShardBytes: 40_000 });
  expect(files.length).toBe(3);
  expect(readConfig(dir)).toMatchObject({
    layers: 3,
    ropeTheta: 1e6,
    torchDtype: 'bf16',
    vocabSize: 1200,
  });
  const checkpoint = openCheckpoint(dir);
  expect(checkpoint.names().reduce((sum, name) => sum + checkpoint.spec(name).bytes, 0)).toBe(bytes);
  expect(checkpoint.spec('lm_head.weight')).toMatchObject({ dtype: 'BF16', shape: [1200, 16] });
  checkpoint.close();
  const tokenizer = openTokenizer(dir);
  expect(tokenizer.vocabSize).toBe(1200);
  const text = 'def f(x):\n    return  x + "é→𝄞"\n';
  const ids = tokenizer.encode(text);
  expect(ids[0]).toBe(1);
  const { merges } = JSON.parse(readFileSync(join(dir, 'tokenizer.json'), 'utf8')).model;
  expect(tokenizer.encode(merges[0].join('').replaceAll('▁', ' '))).toContain(3 + 256 + 95);
  expect(tokenizer.decode(ids)).toBe(text);
  expect(tokenizer.encode('▁<MID>', { bos: false })).toContain(1198);
  const model = await loadModel(openWasm(), dir, { dtype: 'f16' });
  expect((await generate(model, ids, { maxNewTokens: 3 })).ids.length).toBeGreaterThan(0);
  model.dispose();
});

const models = Object.keys(sevenBillionConfigs) as (keyof typeof sevenBillionConfigs)[];

test.each(models)('as wide as %s has the shapes of its family, and runs, quantized too', async (model) => {
  const { model_type } = sevenBillionConfigs[model];
  const { dir } = fabricate({ model, config: { ...config, head_dim: 8, sliding_window: 4 } });
  const { modelType, layers, windows } = readConfig(dir);
  expect(modelType).toBe(model_type);
  const hasWindow = ['mistral', 'starcoder2'].includes(model);
  expect(windows).toEqual(Array(layers).fill(hasWindow ? 4 : null));
  const prompt = [1, 300, 400, 500, 600, 700];
  for (const quantize of [null, 'nf4'] as const) {
    const loaded = await loadModel(openWasm(), dir, { dtype: 'f16', quantize });
    expect((await generate(loaded, prompt, { maxNewTokens: 2 })).ids.length).toBeGreaterThan(0);
    loaded.dispose();
  }
});

test('has the same bytes for the same options, and others for another seed', () => {
  const [one, same, other] = [{}, {}, { seed: 1 }].map((options) => digest(fabricate(options).dir));
  expect(same).toEqual(one);
  expect(other.filter((each, i) => each !== one[i])).toHaveLength(2); // tokenizer.json and weights
});

test('has weights of the spread that it says, each matrix its own', async () => {
  const { dir } = fabricate({ dtype: 'F32' });
  const model = await loadModel(openReference(), dir, { dtype: 'f32' });
  const [up, gate, norm] = await Promise.all(
    ['layers.0.mlp.up_proj', 'layers.0.mlp.gate_proj', 'norm'].map(async (name) => [
      ...(await model.weights.get(`model.${name}.weight`)!.data()),
    ]),
  );
  const mean = up.reduce((sum, x) => sum + x, 0) / up.length;
  expect(Math.abs(mean)).toBeLessThan(0.004);
  expect(Math.sqrt(up.reduce((sum, x) => sum + x * x, 0) / up.length)).toBeCloseTo(0.02, 2);
  expect(up).not.toEqual(gate);
  expect(norm.every((x) => x >= 0.9 && x <= 1.1)).toBe(true);
  model.dispose();
});

test('goes into a folder that is empty, or is not there', () => {
  const { dir } = fabricate();
  expect(() => fabricateModel(dir, { config })).toThrow(`${dir}: is not empty`);
});
