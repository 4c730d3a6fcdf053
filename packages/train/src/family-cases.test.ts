import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { familyCases } from '@flex/fixtures';
import { modelTypes } from '@flex/llama';
import { type Backend, openWasm } from '@flex/tensor';
import { describeEachBackend, deviceBackends } from '@flex/tensor/testing';
import { describe, expect, test } from 'vitest';
import { compareFamilyCase, type FamilyCase, readFamilyCases, tooFar } from './testing/family-case.ts';

const cases = readFamilyCases(familyCases);
const of = (modelType: string) => cases.filter(({ config }) => config.model_type === modelType);

/** What is wrong with the cases, a line each. */
async function differences(backend: Backend, some: readonly FamilyCase[]) {
  const folder = temporaryFolder();
  const lines: string[] = [];
  for (const familyCase of some) {
    const { key } = familyCase;
    const found = await compareFamilyCase(backend, join(folder, key), familyCase);
    lines.push(...tooFar(found).map((line) => `${key}: ${line}`));
  }
  return lines;
}

describe('random models are what transformers and PEFT make of them: logits, loss, LoRA gradients, texts', () => {
  test.each(modelTypes)('%s', async (modelType) => {
    const backend = openWasm({ threads: 1 });
    expect(await differences(backend, of(modelType))).toEqual([]);
    await backend.close();
  });

  test.each(['llama', 'starcoder2'])(
    'a %s whose norms are a little different is too far',
    async (modelType) => {
      const [first] = of(modelType);
      const eps = modelType === 'starcoder2' ? 'norm_epsilon' : 'rms_norm_eps';
      const changed = { ...first, config: { ...first.config, [eps]: 0.02 } };
      const backend = openWasm({ threads: 1 });
      expect(await differences(backend, [changed])).not.toEqual([]);
      await backend.close();
    },
  );

  test('three hundred of all families, layouts and rotary scalings, tied and not', () => {
    expect(cases.length).toBeGreaterThanOrEqual(300);
    for (const modelType of modelTypes) {
      const configs = of(modelType).map(({ config }) => JSON.stringify(config));
      for (const key of ['rope_scaling', 'rope_parameters', '_embeddings":true', '_embeddings":false']) {
        expect(
          configs.filter((config) => config.includes(key)).length,
          `${modelType} ${key}`,
        ).toBeGreaterThan(2);
      }
      expect(
        configs.filter((config) => /"sliding_window":1[,}]/.test(config)).length,
        `${modelType} whose cache keeps all`,
      ).toBeGreaterThan(1);
      for (const type of ['default', 'linear', 'dynamic', 'yarn', 'longrope', 'llama3']) {
        expect(
          configs.some((config) => config.includes(`type":"${type}`)),
          `${modelType} ${type}`,
        ).toBe(true);
      }
    }
  });
});

// LayerNorm, biases and GELU; another norm and a scaled embedding. What Qwen3 has of its own, rmsNorm on
// heads and ranges of keys, each backend is tested with apart.
const different = ['starcoder2', 'gemma'];

describeEachBackend((backend) => {
  test.each(different)('the first of %s', async (modelType) => {
    expect(await differences(backend(), of(modelType).slice(0, 1))).toEqual([]);
  });
}, deviceBackends);
