import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { type ModelConfig, readConfig, weightShapes } from '@flex/llama';
import { uniform } from '@flex/tensor';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { headRows, reordered } from './head-rows.ts';
import { inPieces } from './in-pieces.ts';
import { type GgufDType, modelGguf } from './model-gguf.ts';

const sizes = {
  ...{ hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, head_dim: 8, vocab_size: 5 },
};

function configOf(keys: object): ModelConfig {
  const dir = join(temporaryFolder(), 'model');
  mkdirSync(dir);
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...sizes, ...keys }));
  return readConfig(dir);
}

/** Random weights of a configuration, read in pieces of a few numbers. */
function checkpointOf(config: ModelConfig) {
  const weights = new Map(
    [...weightShapes(config)].map(([name, shape], i) => {
      const count = shape.reduce((product, n) => product * n, 1);
      return [name, { shape, values: Float32Array.from(uniform(count, { key: [3, i] })) }] as const;
    }),
  );
  const spec = (name: string) => {
    const { shape, values } = weights.get(name)!;
    return { dtype: 'F32' as const, shape, bytes: values.byteLength };
  };
  return {
    weights,
    names: () => [...weights.keys()],
    has: (name: string) => weights.has(name),
    spec,
    *readChunks(name: string) {
      const { values } = weights.get(name)!;
      for (let at = 0; at < values.length; at += 7) yield new Uint8Array(values.slice(at, at + 7).buffer);
    },
  };
}

function exported(keys: object, { isTied = false, dtype = 'f32' as GgufDType } = {}) {
  const config = configOf(keys);
  const checkpoint = checkpointOf(config);
  const made = modelGguf({ config, checkpoint, isTied, dtype, name: 'tiny' });
  const tensors = new Map(made.tensors.map((t) => [t.name, t]));
  const valuesOf = (name: string) =>
    Float32Array.from([...tensors.get(name)!.values()].flatMap((piece) => [...piece]));
  return { ...made, tensors, valuesOf, weights: checkpoint.weights };
}

const llamaLayer = [
  'attn_norm',
  'ffn_norm',
  'attn_q',
  'attn_k',
  'attn_v',
  'attn_output',
  'ffn_gate',
  'ffn_up',
  'ffn_down',
];
const plainLayer = llamaLayer.filter((name) => name !== 'ffn_gate');
const weightsOf = (names: readonly string[], member = 'weight') =>
  names.map((name) => `blk.0.${name}.${member}`);
const outside = ['token_embd.weight', 'output_norm.weight', 'output.weight'];
const qkv = ['attn_q', 'attn_k', 'attn_v'];

/** By family: its keys, what llama.cpp calls it, and its tensors. */
const families = {
  llama: [{}, 'llama', [...outside, ...weightsOf(llamaLayer)]],
  'llama with biases': [
    { model_type: 'llama', attention_bias: true, mlp_bias: true },
    'llama',
    [
      ...outside,
      ...weightsOf(llamaLayer),
      ...weightsOf(
        llamaLayer.filter((name) => !name.endsWith('norm')),
        'bias',
      ),
    ],
  ],
  mistral: [{}, 'llama', [...outside, ...weightsOf(llamaLayer)]],
  qwen2: [{}, 'qwen2', [...outside, ...weightsOf(llamaLayer), ...weightsOf(qkv, 'bias')]],
  qwen3: [{}, 'qwen3', [...outside, ...weightsOf([...llamaLayer, 'attn_q_norm', 'attn_k_norm'])]],
  starcoder2: [
    {},
    'starcoder2',
    [...outside, 'output_norm.bias', ...weightsOf(plainLayer), ...weightsOf(plainLayer, 'bias')],
  ],
  gemma: [{}, 'gemma', [...outside.slice(0, 2), ...weightsOf(llamaLayer)]],
} as const satisfies Record<string, readonly [object, string, readonly string[]]>;

describe.each(Object.entries(families))('%s', (family, [keys, name, tensors]) => {
  const isTied = family === 'gemma';

  test(`is ${name} in llama.cpp, every weight with its name and its numbers`, () => {
    const found = exported({ model_type: family, ...keys }, { isTied });
    expect([...found.tensors.keys()].sort()).toEqual([...tensors].sort());
    expect(found.metadata.get('general.architecture')).toEqual({ type: 'string', value: name });
    expect(found.metadata.get(`${name}.attention.head_count_kv`)?.value).toBe(2);
    const epsilon = family === 'starcoder2' ? 'layer_norm_epsilon' : 'layer_norm_rms_epsilon';
    expect(found.metadata.has(`${name}.attention.${epsilon}`)).toBe(true);
    const down = family === 'starcoder2' ? 'mlp.c_proj' : 'mlp.down_proj';
    const { values } = found.weights.get(`model.layers.0.${down}.weight`)!;
    expect(found.valuesOf('blk.0.ffn_down.weight')).toEqual(values);
    const norm = found.weights.get('model.norm.weight')!.values;
    expect(found.valuesOf('output_norm.weight')).toEqual(norm.map((w) => w + Number(isTied)));
    const k = found.weights.get('model.layers.0.self_attn.k_proj.weight')!.values;
    const written = found.valuesOf('blk.0.attn_k.weight');
    expect([...written].sort()).toEqual([...k].sort());
    // Row 1 of a head is the first of its second half, or stays where it is.
    const row = name === 'llama' ? 4 : 1;
    expect(written.slice(8 * 16 + 16, 8 * 16 + 32)).toEqual(k.slice((8 + row) * 16, (8 + row + 1) * 16));
  });
});

test('rows of a head in their new order, neighbours turned, are the halves of it turned', () => {
  const head = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 8, maxLength: 8 });
  const rows = headRows('model.layers.0.self_attn.q_proj.weight', { headDim: 8 })!;
  const ordered = (x: readonly number[]) => rows.map((from) => x[from]);
  /** Turns the pairs (i, j) of a head by the angles of their frequencies. */
  const turned = (x: readonly number[], pairs: readonly (readonly [number, number])[]) => {
    const out = [...x];
    for (const [k, [i, j]] of pairs.entries()) {
      const [c, s] = [Math.cos(3 / 10 ** k), Math.sin(3 / 10 ** k)];
      [out[i], out[j]] = [x[i] * c - x[j] * s, x[j] * c + x[i] * s];
    }
    return out;
  };
  const range = [0, 1, 2, 3];
  fc.assert(
    fc.property(head, (x) => {
      const halves = turned(
        x,
        range.map((k) => [k, k + 4] as const),
      );
      const neighbours = turned(
        ordered(x),
        range.map((k) => [2 * k, 2 * k + 1] as const),
      );
      expect(neighbours).toEqual(ordered(halves));
    }),
  );
  const values = Float32Array.from({ length: 32 }, (_, i) => i);
  const [made] = reordered([values], rows, 2);
  expect([...made.slice(0, 8)]).toEqual([0, 1, 8, 9, 2, 3, 10, 11]);
  expect([...made.slice(16, 20)]).toEqual([16, 17, 24, 25]);
});

test('pieces are whole multiples, and together all numbers, whatever the chunks', () => {
  const cuts = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 12 });
  fc.assert(
    fc.property(cuts, fc.integer({ min: 1, max: 5 }), (lengths, multiple) => {
      const total = lengths.reduce((sum, n) => sum + n, 0);
      lengths.push((multiple - (total % multiple)) % multiple);
      let next = 0;
      const chunks = lengths.map((n) => Uint8Array.from({ length: n }, () => next++));
      const pieces = [...inPieces(chunks, (bytes) => Float32Array.from(bytes), multiple)];
      expect(pieces.every(({ length }) => length > 0 && length % multiple === 0)).toBe(true);
      expect(pieces.flatMap((piece) => [...piece])).toEqual(Array.from({ length: next }, (_, i) => i));
    }),
  );
  expect(() => [...inPieces([new Uint8Array(3)], (bytes) => Float32Array.from(bytes), 2)]).toThrow(
    /multiple of 2/,
  );
});

test('tied weights are there once, as the embedding', () => {
  expect(exported({ model_type: 'llama' }, { isTied: true }).tensors.has('output.weight')).toBe(false);
});

test('matrices have the dtype, norms and biases F32, and rows of no whole blocks F16 in place of Q8_0', () => {
  const { tensors, metadata } = exported({ model_type: 'qwen2' }, { dtype: 'q8_0' });
  expect(metadata.get('general.file_type')?.value).toBe(7);
  const typeOf = (name: string) => tensors.get(name)!.type;
  expect(['blk.0.attn_norm.weight', 'blk.0.attn_q.bias'].map(typeOf)).toEqual(['F32', 'F32']);
  expect(['blk.0.ffn_down.weight', 'blk.0.ffn_up.weight'].map(typeOf)).toEqual(['Q8_0', 'F16']);
});

test('rotary scaling: linear and yarn by their keys, llama3 as what each frequency is divided by', () => {
  const linear = exported({ model_type: 'llama', rope_scaling: { rope_type: 'linear', factor: 4 } });
  expect(linear.metadata.get('llama.rope.scaling.type')?.value).toBe('linear');
  expect(linear.metadata.get('llama.rope.scaling.factor')?.value).toBe(4);
  expect(linear.tensors.has('rope_freqs.weight')).toBe(false);
  const original = { factor: 4, original_max_position_embeddings: 512 };
  const yarn = exported({ model_type: 'qwen2', rope_scaling: { rope_type: 'yarn', ...original } });
  expect(yarn.metadata.get('qwen2.rope.scaling.type')?.value).toBe('yarn');
  expect(yarn.metadata.get('qwen2.rope.scaling.original_context_length')?.value).toBe(512);
  const scaling = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
  const llama3 = exported({
    model_type: 'llama',
    rope_scaling: { rope_type: 'llama3', factor: 8, ...scaling },
  });
  // Wavelengths of 6.3, 63, 628 and 6283 tokens, against 64 / 4 and 64.
  const [first, second, ...others] = llama3.valuesOf('rope_freqs.weight');
  expect([first, ...others]).toEqual([1, 8, 8]);
  const smooth = (64 * 0.1) / (2 * Math.PI) / 3 - 1 / 3;
  expect(second).toBeCloseTo(1 / ((1 - smooth) / 8 + smooth), 5);
});

test('a sliding window is warned of: llama.cpp has none', () => {
  expect(exported({ model_type: 'mistral', sliding_window: 12 }).warnings).toEqual([
    'llama.cpp has no sliding windows for "mistral": what it computes beyond 12 tokens differs',
  ]);
  expect(exported({ model_type: 'mistral', sliding_window: null }).warnings).toEqual([]);
  expect(exported({ model_type: 'llama', sliding_window: 12 }).warnings).toEqual([
    'llama.cpp has no sliding windows for "llama": what it computes beyond 12 tokens differs',
  ]);
});

test.each([
  [{ model_type: 'llama', hidden_act: 'gelu' }, false, /llama computes silu, .*"hidden_act" gelu/],
  [{ model_type: 'starcoder2', use_bias: false }, false, /starcoder2 is with biases of q, k and v/],
  [{ model_type: 'qwen3', attention_bias: true }, false, /qwen3 is without biases of q, k and v/],
  [
    { model_type: 'llama', rope_scaling: { type: 'dynamic', factor: 2 } },
    false,
    /no rotary scaling "dynamic"/,
  ],
  [
    { model_type: 'llama', rope_scaling: { type: 'yarn', factor: 2, attention_factor: 1 } },
    false,
    /llama\.cpp's yarn has an attention factor/,
  ],
  [{ model_type: 'gemma' }, false, /gemma has no head of its own/],
])('what llama.cpp has not is refused: %j', (keys, isTied, line) => {
  expect(() => exported(keys, { isTied })).toThrow(ConfigError);
  expect(() => exported(keys, { isTied })).toThrow(line);
});
