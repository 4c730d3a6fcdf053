import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { describeShared, goldens, openGolden, shared } from '@flex/fixtures';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';
import { inverseFrequencies } from './rotary-frequencies.ts';

const dir = mkdtempSync(join(tmpdir(), 'flex-config-'));
const path = join(dir, 'config.json');
const generation = join(dir, 'generation_config.json');
afterEach(() => rmSync(generation, { force: true }));
afterAll(() => rmSync(dir, { recursive: true }));

const least = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 3,
  num_attention_heads: 8,
  vocab_size: 320,
};

function read(changes: object) {
  writeFileSync(path, JSON.stringify({ ...least, ...changes }));
  return readConfig(dir);
}

const refused = (changes: object, message: string) => {
  expect(() => read(changes)).toThrow(new DataError(`${path}: ${message}`));
};

const llama3 = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};

describe('a configuration', () => {
  it("of the required keys alone takes the defaults of transformers' LlamaConfig", () => {
    expect(read({ some_other_key: 1 })).toEqual({
      hiddenSize: 64,
      intermediateSize: 172,
      layers: 3,
      heads: 8,
      kvHeads: 8,
      headDim: 8,
      vocabSize: 320,
      modelType: 'llama',
      embeddingScale: 1,
      norm: 'rms',
      normOffset: 0,
      normEps: 1e-6,
      biases: { qkv: false, o: false, mlp: false },
      qkNorm: false,
      mlp: 'gated',
      activation: 'silu',
      windows: [null, null, null],
      cachedWindows: [null, null, null],
      ropeTheta: 10000,
      ropeScaling: null,
      maxPositions: 2048,
      tieWordEmbeddings: false,
      bosId: 1,
      eosIds: [2],
      torchDtype: null,
    });
  });

  it('means the same in the layouts of transformers 4 and 5', () => {
    const old = read({ rope_theta: 5e5, rope_scaling: llama3, torch_dtype: 'bfloat16' });
    expect(old).toMatchObject({
      ropeTheta: 5e5,
      torchDtype: 'bf16',
      ropeScaling: { type: 'llama3', factor: 8 },
    });
    expect(read({ rope_parameters: { rope_theta: 5e5, ...llama3 }, dtype: 'bfloat16' })).toEqual(old);
    const linear = read({ rope_scaling: { type: 'linear', factor: 2.5 } });
    expect(linear.ropeScaling).toEqual({ type: 'linear', factor: 2.5 });
    expect(read({ rope_parameters: { rope_type: 'linear', factor: 2.5 }, rope_theta: 10000 })).toEqual(
      linear,
    );
    expect(read({ rope_parameters: { rope_type: 'default', rope_theta: 7 } }).ropeTheta).toBe(7);
  });

  it('with both layouts of rotary embeddings is read by the rope_scaling alone, as in transformers', () => {
    const linear = { rope_type: 'linear', factor: 2 };
    const scaled = { ropeTheta: 10000, ropeScaling: { type: 'linear', factor: 2 } };
    const plain = { rope_type: 'default', rope_theta: 500 };
    expect(read({ rope_scaling: linear, rope_parameters: plain })).toMatchObject(scaled);
    expect(read({ rope_scaling: linear, rope_parameters: plain, rope_theta: 300 }).ropeTheta).toBe(300);
    for (const nothing of [{}, null]) {
      const config = read({ rope_scaling: nothing, rope_parameters: { ...linear, rope_theta: 500 } });
      expect(config).toMatchObject({ ...scaled, ropeTheta: 500 });
    }
  });

  it('takes the context of pretraining from outside the layout before that inside it, as transformers', () => {
    const inner = { original_max_position_embeddings: 32 };
    const outer = { original_max_position_embeddings: 16 };
    for (const key of ['rope_scaling', 'rope_parameters']) {
      for (const inside of [inner, { original_max_position_embeddings: undefined }]) {
        const config = read({ [key]: { ...llama3, ...inside }, ...outer });
        expect(config.ropeScaling).toMatchObject({ originalMaxPositions: 16 });
      }
      expect(read({ [key]: { ...llama3, ...inner } }).ropeScaling).toMatchObject({
        originalMaxPositions: 32,
      });
    }
  });

  it('may have heads of their own size and shared key-value heads', () => {
    const config = read({ num_key_value_heads: 2, head_dim: 12 });
    expect(config).toMatchObject({ kvHeads: 2, headDim: 12 });
  });

  it('takes the end-of-text ids from generation_config.json where it has some', () => {
    expect(read({ eos_token_id: [5, 6] }).eosIds).toEqual([5, 6]);
    expect(read({ eos_token_id: null, bos_token_id: null })).toMatchObject({ bosId: null, eosIds: [] });
    writeFileSync(generation, '{"eos_token_id": [7, 8, 9]}');
    expect(read({ eos_token_id: 5 }).eosIds).toEqual([7, 8, 9]);
    writeFileSync(generation, '{"eos_token_id": 7}');
    expect(read({}).eosIds).toEqual([7]);
    writeFileSync(generation, '{"temperature": 1}');
    expect(read({ eos_token_id: 5 }).eosIds).toEqual([5]);
    writeFileSync(generation, '{"eos_token_id": "7"}');
    const rule = 'must be a token id or a list of them';
    expect(() => read({})).toThrow(
      new DataError(`${generation}: "eos_token_id" is wrong: ${rule}; it is "7"`),
    );
  });

  it('is read as other programs write it', () => {
    const plain = read({});
    for (const changes of [
      { hidden_act: 'swish' },
      { torch_dtype: 'auto' },
      { quantization_config: {} },
      { quantization_config: null },
      { rope_scaling: { type: 'default', factor: 8 }, original_max_position_embeddings: null },
    ]) {
      expect(read(changes)).toEqual(plain);
    }
    expect(read({ torch_dtype: 'torch.bfloat16' }).torchDtype).toBe('bf16');
    expect(read({ torch_dtype: 'float64' }).torchDtype).toBe('f32');
    expect(read({ torch_dtype: 'float16', dtype: 'float32' }).torchDtype).toBe('f32');
    expect(read({ bos_token_id: -1, eos_token_id: -1 })).toMatchObject({ bosId: null, eosIds: [] });
    expect(read({ eos_token_id: [-1, 7] }).eosIds).toEqual([7]);
    writeFileSync(generation, '{"eos_token_id": -1}');
    expect(read({ eos_token_id: 7 }).eosIds).toEqual([]);
  });

  it("may have Python's constants, but not where a number matters", () => {
    const text = JSON.stringify(least);
    const plain = read({});
    writeFileSync(path, `${text.slice(0, -1)}, "NaN\\" Infinity": [NaN, -Infinity, {"a": Infinity}]}`);
    expect(readConfig(dir)).toEqual(plain);
    for (const constant of ['NaN', 'Infinity', '-Infinity']) {
      writeFileSync(path, `${text.slice(0, -1)}, "rms_norm_eps": ${constant}}`);
      const wrong = `"rms_norm_eps" is wrong: must be a number > 0; it is "${constant}"`;
      expect(() => readConfig(dir)).toThrow(new DataError(`${path}: ${wrong}`));
    }
    writeFileSync(path, `${text.slice(0, -1)}, "a": nan}`);
    expect(() => readConfig(dir)).toThrow('is not JSON');
  });

  it('is refused where one letter makes another key of it', () => {
    refused({ rope_thetb: 5 }, '"rope_thetb" must be "rope_theta", or go');
    refused({ eos_token_ids: 5 }, '"eos_token_ids" must be "eos_token_id", or go');
    expect(read({ eos_token_id: 5, eos_token_ids: 5 }).eosIds).toEqual([5]);
    refused(
      { rope_scaling: { type: 'linear', factor: 2, rope_thet: 5 } },
      '"rope_thet" must be "rope_theta", or go',
    );
    writeFileSync(path, `{"vocab_size": 5, ${JSON.stringify(least).slice(1)}`);
    expect(() => readConfig(dir)).toThrow(`${path}: has the key "vocab_size" twice; leave one of them`);
    writeFileSync(path, Buffer.from(JSON.stringify({ ...least, a: 'é' }), 'latin1'));
    expect(() => readConfig(dir)).toThrow(`${path}: is not UTF-8`);
  });

  it('is refused where it is missing or malformed', () => {
    rmSync(path, { force: true });
    expect(() => readConfig(dir)).toThrow(`${dir}: has no config.json; give a Hugging Face`);
    writeFileSync(path, '{"a": ');
    expect(() => readConfig(dir)).toThrow(`${path}: is not JSON: `);
    writeFileSync(path, `{"a": ${'['.repeat(300)}${']'.repeat(300)}}`);
    expect(() => readConfig(dir)).toThrow(`${path}: is nested more than 256`);
    expect(() => readConfig(join(dir, 'none'))).toThrow(`${join(dir, 'none')}: no such directory`);
    refused({ hidden_size: undefined }, '"hidden_size" is wrong: must be a whole number > 0; it is missing');
    refused({ hidden_size: 6.5 }, '"hidden_size" is wrong: must be a whole number > 0; it is 6.5');
    refused({ vocab_size: 0 }, '"vocab_size" is wrong: must be a whole number > 0; it is 0');
    refused(
      { tie_word_embeddings: null },
      '"tie_word_embeddings" is wrong: must be true or false; it is null',
    );
    refused({ rope_scaling: 'linear' }, '"rope_scaling" is wrong: must be an object; it is "linear"');
    refused({ rope_scaling: { type: 3 } }, '"rope_scaling.type" is wrong: must be a text; it is 3');
    refused({ rms_norm_eps: -1 }, '"rms_norm_eps" is wrong: must be a number > 0; it is -1');
  });

  it('of something that is not supported is refused by name', () => {
    const known = 'a family that is not supported; known are llama, qwen2, qwen3, mistral, starcoder2, gemma';
    refused({ model_type: 'falcon' }, `"model_type" is falcon, ${known}`);
    expect(() => read({ hidden_act: 'relu' })).toThrow(
      /"hidden_act" is wrong: must be one of silu, swish, gelu, .*; it is "relu"$/,
    );
    refused({ attention_bias: 1 }, '"attention_bias" is wrong: must be true or false; it is 1');
    expect(() => read({ quantization_config: { bits: 4 } })).toThrow(/quantized weights are not supported/);
    expect(() => read({ torch_dtype: 'float8' })).toThrow(
      /must be auto, float64, float32, float16 or bfloat16; it is "float8"/,
    );
    const scalings = 'which is not supported; default, linear, dynamic, yarn, longrope and llama3 are';
    refused({ rope_scaling: { type: 'su', factor: 4 } }, `"rope_scaling.rope_type" is su, ${scalings}`);
    const byLayer = 'must not be an object: rotary embeddings by the type of layer are not supported';
    const found = '{"rope_type":"default"}';
    refused(
      { rope_parameters: { full_attention: JSON.parse(found) } },
      `"rope_parameters.full_attention" is wrong: ${byLayer}; it is ${found}`,
    );
    expect(() => read({ rope_parameters: { partial_rotary_factor: 0.5 } })).toThrow(/partly rotated heads/);
    expect(() => read({ partial_rotary_factor: 0.5 })).toThrow(
      /"partial_rotary_factor" .*partly rotated heads/,
    );
  });

  it('that contradicts itself is refused', () => {
    const heads = 'must divide the 8 attention heads; it is 3';
    refused({ num_key_value_heads: 3 }, `"num_key_value_heads" is wrong: ${heads}`);
    refused(
      { hidden_size: 68 },
      '"hidden_size" is wrong: must be a multiple of the 8 attention heads; it is 68',
    );
    refused({ head_dim: 7 }, '"head_dim" is wrong: must be even for rotary embeddings; it is 7');
    refused(
      { hidden_size: 72 },
      '"hidden_size / num_attention_heads" is wrong: must be even for rotary embeddings; it is 9',
    );
    const thetas = '"rope_theta" is 1, but "rope_parameters.rope_theta" is 2; they must agree';
    refused({ rope_theta: 1, rope_parameters: { rope_theta: 2 } }, thetas);
  });

  it('of a scaling that lacks a number is refused by its key', () => {
    const factor = '"rope_scaling.factor" is wrong: must be a number ≥ 1; it is';
    refused({ rope_scaling: { type: 'linear', factor: 0.5 } }, `${factor} 0.5`);
    expect(() => read({ rope_scaling: { type: 'linear' } })).toThrow(
      /"rope_scaling.factor" .* it is missing$/,
    );
    expect(() => read({ rope_scaling: { type: 'yarn' } })).toThrow(/"rope_scaling.factor" .* it is missing$/);
    const original = '"rope_parameters.original_max_position_embeddings" is wrong';
    refused(
      { rope_parameters: llama3, original_max_position_embeddings: null },
      `${original}: must be a whole number > 0; it is null`,
    );
    const pairs = 'must be 4 numbers > 0, one for each pair of a head';
    const longrope = { type: 'longrope', short_factor: [1, 1, 1, 1], long_factor: [1] };
    refused({ rope_scaling: longrope }, `"rope_scaling.long_factor" is wrong: ${pairs}; it is [1]`);
    refused(
      { rope_scaling: { ...longrope, long_factor: [1, 2, 0, 1] } },
      '"rope_scaling.long_factor.2" is wrong: must be a number > 0; it is 0',
    );
    const order = '"rope_scaling.high_freq_factor" is wrong: must be greater than low_freq_factor; it is 1';
    refused({ rope_scaling: { ...llama3, high_freq_factor: 1 } }, order);
  });
});

describe('inverse frequencies', () => {
  it('are θ^(−2i/d), and divided by the factor when linearly scaled', () => {
    expect([...inverseFrequencies(read({}))].map((f) => +f.toPrecision(7))).toEqual([1, 0.1, 0.01, 0.001]);
    const linear = inverseFrequencies(read({ rope_scaling: { type: 'linear', factor: 4 } }));
    expect([...linear].map((f) => +f.toPrecision(7))).toEqual([0.25, 0.025, 0.0025, 0.00025]);
  });

  it("are transformers' own for llama3", () => {
    // transformers 5.18, ROPE_INIT_FUNCTIONS['llama3'] in f32: Llama 3.1's numbers with a head of 32.
    const expected = [
      1, 0.440366626, 0.193922758, 0.0853971019, 0.0376060307, 0.0165604409, 0.00729266508, 0.00321144611,
      0.000524846022, 7.78465546e-5, 3.42810235e-5, 1.50962178e-5, 6.64786967e-6, 2.92749974e-6,
      1.28917316e-6, 5.6770881e-7,
    ];
    const config = read({ hidden_size: 256, rope_theta: 5e5, rope_scaling: llama3 });
    const found = inverseFrequencies(config);
    expect(found).toHaveLength(16);
    for (const [i, f] of found.entries()) expect(Math.abs(f / expected[i] - 1)).toBeLessThan(1e-6);
  });
});

describeShared('models/micro', 'the micro model', () => {
  it('has the configuration that its README names', () => {
    expect(readConfig(shared('models/micro'))).toMatchObject({
      hiddenSize: 128,
      intermediateSize: 352,
      layers: 6,
      heads: 4,
      vocabSize: 2048,
      ropeTheta: 1e6,
      maxPositions: 1024,
      tieWordEmbeddings: false,
      torchDtype: 'f16',
    });
  });
});

describeShared(goldens, 'the reference models', () => {
  it.each([
    ['gqa-f32', { heads: 8, kvHeads: 4, torchDtype: 'f32' }],
    ['mha-f16', { heads: 6, kvHeads: 6, torchDtype: 'f16' }],
    ['gqa-bf16', { heads: 10, kvHeads: 2, torchDtype: 'bf16' }],
    ['tied-f32', { heads: 4, kvHeads: 1, tieWordEmbeddings: true }],
  ] as const)('%s is read', (name, expected) => {
    expect(readConfig(openGolden(name).path('model'))).toMatchObject(expected);
  });
});
