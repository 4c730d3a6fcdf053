import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openReference } from '@flex/tensor';
import { afterAll, describe, expect, test } from 'vitest';
import { type ModelConfig, readConfig } from './config.ts';
import { attentionFactor, inverseFrequencies } from './rotary-frequencies.ts';
import { newRotary } from './rotary-tables.ts';
import { writeTinyModel } from './testing/tiny-model.ts';

/** Rotary tables of transformers; fixtures/rotary/make.py says more. */
interface RotaryCase {
  readonly config: { readonly head_dim: number; readonly rope_parameters: { readonly rope_type: string } };
  readonly length: number;
  readonly frequencies: readonly number[];
  readonly places: readonly (readonly [position: number, pair: number, cos: number, sin: number])[];
}

// Another folder that make.py wrote may be named in FLEX_ROTARY_CASES.
const folder = process.env.FLEX_ROTARY_CASES ?? join(import.meta.dirname, '../../../fixtures/rotary');
const cases = readFileSync(join(folder, 'cases.jsonl'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as RotaryCase);
const kinds = [...new Set(cases.map(({ config }) => config.rope_parameters.rope_type))];

const dir = mkdtempSync(join(tmpdir(), 'flex-rotary-'));
afterAll(() => rmSync(dir, { recursive: true }));

function read(config: object): ModelConfig {
  const oneHead: object = { num_attention_heads: 1, num_key_value_heads: 1, ...config };
  writeTinyModel(dir, oneHead);
  return readConfig(dir);
}

describe.each(kinds)('%s is as transformers computes it in f32', (kind) => {
  const some = cases
    .filter(({ config }) => config.rope_parameters.rope_type === kind)
    .map((each) => ({ ...each, model: read(each.config), expected: each.frequencies.map(Math.fround) }));

  test('frequencies bit by bit, but for a power in fifty that torch rounds otherwise', () => {
    let [same, all] = [0, 0];
    for (const { model, length, expected } of some) {
      const found = inverseFrequencies(model, length);
      expect(found).toHaveLength(expected.length);
      for (const [i, f] of found.entries()) {
        expect(Math.abs(f / expected[i] - 1)).toBeLessThan(3 * 2 ** -23);
        if (f === expected[i]) same++;
        all++;
      }
    }
    expect(same / all).toBeGreaterThan(0.97);
  });

  test('cos and sin of these in all of 16,000 positions, in the last bits', async () => {
    let worst = 0;
    for (const { model, length, expected, places } of some) {
      const found = inverseFrequencies(model, length);
      const { cos, sin } = newRotary(openReference(), model).rope(length);
      const [cosines, sines] = [await cos.data(), await sin.data()];
      const ulp = 2 ** -23 * Math.max(1, attentionFactor(model.ropeScaling));
      for (const [position, pair, ...wanted] of places) {
        if (found[pair] !== expected[pair]) continue;
        const at = position * expected.length + pair;
        const errors = [cosines[at] - wanted[0], sines[at] - wanted[1]].map(Math.abs);
        worst = Math.max(worst, ...errors.map((error) => error / ulp));
      }
    }
    expect(worst).toBeLessThan(2);
  });
});
