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
  { dtype: 'f32', quantize: null, texts: { rows: 3, prompt: 120, length: 128 } },
  { dtype: 'f16', quantize: 'nf4', texts: { rows: 3, prompt: 120, length: 128 } },
  { dtype: 'f16', quantize: null, texts: { rows: 3, prompt: 440, length: 448 } },
  // The cache grows for the first text while a later prompt is half read.
  { dtype: 'f16', quantize: null, texts: { rows: 16, prompt: 440, length: 456 } },
] as const)('what decoding takes is known before it is done: %j', async ({ texts, ...storage }) => {
  const { weights, peak } = await decodingMemory(backend.counted, micro, storage, texts);
  const model = await loadModel(backend, micro, storage);
  expect(backend.stats.liveBytes).toBe(weights);
  const requests = Array.from({ length: texts.rows + 1 }, (_, first) => ({
    prompt: Array.from({ length: texts.prompt }, (_, i) => 5 + first + i),
    maxNewTokens: texts.length - texts.prompt,
    temperature: 1,
    seed: 0,
    // The end of the text, so that all are as long.
    logitBias: new Map([[2, -100]]),
  }));
  backend.resetPeak();
  await generateAll(model, requests, { batchSize: texts.rows });
  const { peakBytes } = backend.stats;
  expect(peakBytes).toBeLessThanOrEqual(peak);
  expect(peakBytes).toBeGreaterThan(0.95 * peak);
  model.dispose();
});
