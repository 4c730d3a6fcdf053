import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Backend, openReference, openWasm, rope, scope, tensor } from '@flex/tensor';
import { afterAll, describe, expect, test } from 'vitest';
import { readConfig } from './config.ts';
import { type CausalLM, forward, loadModel, logits } from './model.ts';
import { causalPast } from './past.ts';
import { attentionFactor, inverseFrequencies } from './rotary-frequencies.ts';
import { newRotary } from './rotary-tables.ts';
import { newSlots } from './slots.ts';
import { writeTinyModel } from './testing/tiny-model.ts';

const dir = mkdtempSync(join(tmpdir(), 'flex-rope-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** A configuration with heads of 8, a context of 16 and these keys. */
function read(changes: object) {
  const oneHead: object = { num_attention_heads: 1, ...changes };
  writeTinyModel(dir, oneHead);
  return readConfig(dir);
}

const factors = { short_factor: [1, 1.25, 1.5, 2], long_factor: [1, 3, 5, 8] };

/** transformers 5.18 in f32: frequencies of a text of so many tokens, and the attention factor. */
const known: readonly (readonly [object, number, readonly number[], number])[] = [
  [{ type: 'dynamic', factor: 2.5 }, 16, [1, 0.21147424, 0.0447213612, 0.0094574159], 1],
  [{ type: 'dynamic', factor: 2.5 }, 40, [1, 0.12580356, 0.0158265382, 0.00199103495], 1],
  [
    { type: 'yarn', factor: 4, original_max_position_embeddings: 12 },
    1,
    [1, 0.05286856, 0.0111803403, 0.00236435398],
    1.138629436111989,
  ],
  [
    {
      type: 'yarn',
      factor: 4,
      mscale: 0.7,
      mscale_all_dim: 0.4,
      beta_fast: 3,
      beta_slow: 0.5,
      truncate: false,
    },
    1,
    [1, 0.0600986928, 0.0111803403, 0.00236435398],
    1.0394038191422568,
  ],
  [
    { type: 'yarn', factor: 8, attention_factor: 1.5 },
    40,
    [1, 0.02643428, 0.00559017016, 0.00118217699],
    1.5,
  ],
  [
    { type: 'longrope', original_max_position_embeddings: 4, ...factors },
    4,
    [1, 0.169179395, 0.0298142396, 0.00472870795],
    Math.SQRT2,
  ],
  [
    { type: 'longrope', original_max_position_embeddings: 4, ...factors },
    5,
    [1, 0.0704914108, 0.00894427206, 0.00118217699],
    Math.SQRT2,
  ],
];

test.each(known)(
  '%j at %d tokens is as transformers computes it',
  async (scaling, length, expected, factor) => {
    const config = read({ rope_theta: 500, rope_scaling: scaling });
    const found = inverseFrequencies(config, length);
    expect(found).toHaveLength(4);
    for (const [i, f] of found.entries()) expect(Math.abs(f / expected[i] - 1)).toBeLessThan(1e-6);
    expect(attentionFactor(config.ropeScaling)).toBeCloseTo(factor, 7);
    // At position 0 cos is the factor alone.
    const { cos } = newRotary(openReference(), config).rope(length);
    expect((await cos.data())[0]).toBeCloseTo(factor, 7);
  },
);

test('tables that a longer text outgrew are still there, beyond the context too, until all are released', async () => {
  const backend = openWasm({ threads: 1 });
  const { liveBytes } = backend.stats;
  const { rope, dispose } = newRotary(backend, read({}));
  const lengths = Array.from({ length: 700 }, (_, i) => i + 1);
  const made = [...new Set(lengths.map((length) => rope(length)))];
  expect(made.map(({ cos }) => cos.shape[0])).toEqual([16, 512, 1026]);
  expect((await made[0].cos.data())[0]).toBe(1);
  dispose();
  expect(backend.stats.liveBytes).toBe(liveBytes);
  await backend.close();
});

describe('a scaling', () => {
  test('without a context of pretraining takes the model’s own', () => {
    const type = 'llama3';
    const llama3 = { type, factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
    const inner = { ...llama3, original_max_position_embeddings: 16 };
    expect(read({ rope_scaling: llama3 })).toEqual(read({ rope_scaling: inner }));
    for (const each of [
      { type: 'yarn', factor: 2 },
      { type: 'longrope', ...factors },
    ]) {
      expect(read({ rope_scaling: each }).ropeScaling).toMatchObject({ originalMaxPositions: 16 });
    }
  });

  test('whose factor is null has the ratio of the contexts', () => {
    const changes = { max_position_embeddings: 64, original_max_position_embeddings: 16 };
    const [ratio, four] = [null, 4].map((factor) =>
      read({ ...changes, rope_scaling: { type: 'yarn', factor } }),
    );
    expect(ratio).toEqual(four);
  });
});

/** Logits of the last token of a text, each of whose tokens came when the text was so long. */
async function logitsOf(
  model: CausalLM,
  ids: readonly number[],
  lengths: readonly number[],
): Promise<number[]> {
  const t = ids.length;
  const row = scope(() => {
    const positions = Int32Array.from(ids.keys());
    const angles = model.ropeAt(positions, Int32Array.from(lengths));
    const past = { ...causalPast(model, [1, t]), rotate: (x: Parameters<typeof rope>[0]) => rope(x, angles) };
    return logits(
      model,
      forward(model, tensor(model.backend, Int32Array.from(ids), [1, t], 'i32'), { past }),
    );
  });
  const values = await row.data();
  row.dispose();
  return [...values.slice(-model.config.vocabSize)];
}

const expectClose = (found: Float32Array, expected: readonly number[]) => {
  for (const [i, x] of found.entries()) expect(x).toBeCloseTo(expected[i], 5);
};

describe.each([
  { type: 'dynamic', factor: 4 },
  { type: 'longrope', ...factors, original_max_position_embeddings: 5, factor: 4 },
  { type: 'yarn', factor: 4 },
])('decoding with %j', (scaling) => {
  const load = async (backend: Backend) => {
    read({ max_position_embeddings: 6, rope_scaling: scaling });
    return await loadModel(backend, dir, { dtype: 'f32' });
  };

  test('turns each token by the length of its text when it came, other slots whatever they hold', async () => {
    const model = await load(openReference());
    const slots = newSlots(model, 3);
    const texts = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 1], [3]];
    const lengths = texts.map((ids) => ids.map(() => ids.length));
    for (const [slot, ids] of texts.entries()) {
      const row = await slots.fill(slot, ids);
      expectClose(row, await logitsOf(model, ids, lengths[slot]));
    }
    for (let step = 0; step < 6; step++) {
      const fed = texts.map((ids, slot): [number, number] => [slot, (ids.length * 7 + slot) % 10]);
      const rows = await slots.step(new Map(fed));
      for (const [slot, id] of fed) {
        texts[slot].push(id);
        lengths[slot].push(texts[slot].length);
        expectClose(rows.get(slot)!, await logitsOf(model, texts[slot], lengths[slot]));
      }
    }
    slots.dispose();
    model.dispose();
  });

  test('leaves nothing on the device', async () => {
    const backend = openWasm();
    const model = await load(backend);
    const one = async () => {
      const slots = newSlots(model, 2);
      await slots.fill(0, [1, 2, 3, 4, 5, 6, 7]);
      for (let id = 0; id < 4; id++) await slots.step(new Map([[0, id]]));
      slots.dispose();
      return backend.stats.liveBytes;
    };
    expect(await one()).toBe(await one());
    model.dispose();
  });
});
