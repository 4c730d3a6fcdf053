import { type Backend, openCounting, openWasm, openWebGpu, uniform } from '@flex/tensor';
import { expect, test } from 'vitest';
import { codeLlama7b, emptyRun } from './testing/seven-billion.ts';

const isLong = process.env.FLEX_LONG_TESTS === '1';

const shapes = {
  'Code Llama 7B’s, one layer': { ...codeLlama7b, layers: 1 },
  small: {
    ...codeLlama7b,
    ...{
      layers: 2,
      hiddenSize: 64,
      intermediateSize: 176,
      heads: 4,
      kvHeads: 4,
      headDim: 16,
      vocabSize: 512,
    },
  },
};
const runs: [string, keyof typeof shapes, number, () => Backend | Promise<Backend>][] = [
  ['counting', 'Code Llama 7B’s, one layer', isLong ? 500 : 100, openCounting],
];
if (isLong) runs.push(['cpu', 'small', 500, () => openWasm()], ['webgpu', 'small', 500, () => openWebGpu()]);

test.each(runs)(
  'updates of random lengths leave as much memory in use and in reserve as they found: %s, %s, %i of them',
  { timeout: 1_800_000 },
  async (_, shape, updates, open) => {
    const backend = await open();
    const { update } = emptyRun(backend, {}, { config: shapes[shape] });
    // The longest first: what a longer batch takes for the first time is no leak.
    const lengths = uniform(updates, { key: [7, 0] })
      .map((u) => 120 + Math.floor(393 * u))
      .with(0, 512);
    const live: number[] = [];
    const reserved: number[] = [];
    for (const length of lengths) {
      update(4, length);
      await backend.sync();
      live.push(backend.stats.liveBytes);
      reserved.push(backend.stats.reservedBytes);
    }
    expect(Math.max(...live)).toBeLessThanOrEqual(1.01 * Math.min(...live));
    expect(Math.max(...reserved.slice(50))).toBeLessThanOrEqual(1.01 * Math.max(...reserved.slice(0, 50)));
    await backend.close();
  },
);
