import { join } from 'node:path';
import { openWasm } from '@flex/tensor';
import { afterAll, expect, test } from 'vitest';
import { decodingMemory } from './decoding-memory.ts';
import { generateAll } from './generate.ts';
import { loadModel } from './model.ts';

const micro = join(import.meta.dirname, '../../cli/assets/micro');
const backend = openWasm({ threads: 1 });
afterAll(() => backend.close());

test.each([
  { dtype: 'f32', quantize: null, prompt: 120 },
  { dtype: 'f16', quantize: 'nf4', prompt: 120 },
  { dtype: 'f16', quantize: null, prompt: 440 },
] as const)('what decoding takes is known before it is done: %j', async ({ prompt: tokens, ...storage }) => {
  const texts = { rows: 3, prompt: tokens, length: tokens + 8 };
  const { weights, peak } = await decodingMemory(backend.counted, micro, storage, texts);
  const model = await loadModel(backend, micro, storage);
  expect(backend.stats.liveBytes).toBe(weights);
  const prompt = Array.from({ length: texts.prompt }, (_, i) => 5 + i);
  const request = { prompt, maxNewTokens: texts.length - texts.prompt, temperature: 1, seed: 0 };
  backend.resetPeak();
  await generateAll(model, Array(4).fill(request), { batchSize: texts.rows });
  const { peakBytes } = backend.stats;
  expect(peakBytes).toBeLessThanOrEqual(peak);
  expect(peakBytes).toBeGreaterThan(0.95 * peak);
  model.dispose();
});
