import { type ModelConfig, newSlots, type TokenBatch, tokenLosses } from '@flex/llama';
import { openCounting, scope, uniform } from '@flex/tensor';
import { compileTexts, kernelsOf } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { codeLlama7b, emptyRun, type SevenBillion, sevenBillion } from './testing/seven-billion.ts';
import type { UpdateSetup } from './update.ts';

const isLong = process.env.FLEX_LONG_TESTS === '1';

// The true Code Llama 7B, r = 8 on the MLP, batches of 4 rows of 512 tokens, on a backend that counts.
const input_ids = Int32Array.from({ length: 4 * 512 }, (_, i) => 3 + (i % 1000));
const batch: TokenBatch = { b: 4, t: 512, input_ids, labels: input_ids };

/** GB at the peak of what f does. */
function peakOf({ backend }: SevenBillion, f: () => void): number {
  backend.resetPeak();
  f();
  return backend.stats.peakBytes / 1e9;
}

/** GB at the peak of an update. */
function peakOfUpdate(given: Partial<UpdateSetup>): number {
  const run = sevenBillion(given);
  return peakOf(run, () => run.update(4, 512));
}

test('an evaluation holds one layer at a time: 15.5 GB', () => {
  const run = sevenBillion();
  expect(peakOf(run, () => scope(() => void tokenLosses(run.model, batch)))).toBeLessThan(15.5);
});

test('an update takes 25.2 GB, 24 where 4 layers are computed again, and 16 where all are', () => {
  const [all, some, none] = [32, 4, 0].map((checkpointActivations) =>
    peakOfUpdate({ checkpointActivations }),
  );
  expect(all).toBeLessThan(16);
  expect(some).toBeLessThan(24);
  expect(none).toBeLessThan(25.2);
});

test('with nothing computed again a layer keeps two matrices of its MLP and five of its width', () => {
  const run = sevenBillion();
  const rest = run.backend.stats.liveBytes / 1e9;
  const kept = (32 * 4 * 2048 * (2 * 11008 + 5 * 4096)) / 1e9;
  // Alone they are more than 24 GB with weights of f16: less only where a product is computed again.
  expect(rest + kept).toBeGreaterThan(24);
  expect(peakOf(run, () => run.update(4, 512))).toBeLessThan(rest + kept + 0.4);
});

test('batches of one size: 2,100 dispatches an update, few for all of the adapter, whose bind groups are found', () => {
  const { backend, update } = sevenBillion();
  for (let step = 1; step <= 10; step++) update(4, 512);
  const { dispatches } = backend.stats;
  backend.resetCounts();
  update(4, 512);
  const made = backend.stats.dispatches - dispatches;
  expect(made).toBeLessThan(2100);
  expect(backend.bindGroupMisses).toBeLessThan(made / 100);
  // Of the adapter's 192 tensors 96 are of one size, and 96 of another.
  const calls = (op: string) => backend.counts.get(op)?.calls ?? 0;
  expect(['adamwUpdate', 'squaredLengths', 'addScaled'].map(calls)).toEqual([2, 2, 2]);
  // The norms of two gradients, of the penalty's, and the penalty along the gradient.
  expect(calls('addProduct')).toBe(4 * 2);
  // 17 for gradients of a size that lie apart; the others are of sums.
  expect(calls('join')).toBeLessThanOrEqual(2 * 17 + 6);
});

test('with all layers computed again an update makes 2,600 dispatches', () => {
  const { backend, update } = sevenBillion({ checkpointActivations: 32 });
  update(4, 512);
  const { dispatches } = backend.stats;
  update(4, 512);
  expect(backend.stats.dispatches - dispatches).toBeLessThan(2600);
});

test('a prompt holds its cache, in f32 too, and one layer at a time: 14.7 GB; a token takes no memory and binds nothing new', async () => {
  const { backend, model } = sevenBillion();
  const { stats } = backend;
  const slots = newSlots(model, 1);
  backend.resetPeak();
  await slots.fill(0, Array(512).fill(5));
  expect(stats.peakBytes / 1e9).toBeLessThan(14.7);
  for (let i = 0; i < 2; i++) await slots.step(new Map([[0, 5]]));
  const { liveBytes, dispatches } = stats;
  backend.resetCounts();
  await slots.step(new Map([[0, 5]]));
  expect(stats.liveBytes).toBe(liveBytes);
  expect(stats.dispatches - dispatches).toBeLessThanOrEqual(16 * 32 + 5);
  expect(backend.bindGroupMisses).toBe(0);
  slots.dispose();
});

test('weights in nf4 take 3.6 GB beside embedding and head, and an update of them 6.6 GB, 10 with 18 layers again', () => {
  const [all, some] = [32, 18].map((checkpointActivations) => {
    const run = sevenBillion({ checkpointActivations }, { quantize: 'nf4' });
    expect(run.backend.stats.liveBytes / 1e9).toBeLessThan(4.1);
    return peakOf(run, () => run.update(4, 512));
  });
  expect(all).toBeLessThan(6.6);
  expect(some).toBeLessThan(10);
});

test.each([null, 'int8', 'nf4'] as const)(
  'a card has shaders for all that is run of a layer, weights quantized to %s',
  async (quantize) => {
    const { backend, kernels } = kernelsOf(openCounting());
    const run = emptyRun(backend, {}, { config: { ...codeLlama7b, layers: 1 }, quantize });
    run.update(4, 509);
    run.update(4, 512);
    const slots = newSlots(run.model, 2);
    for (const [slot, token] of [5, 6].entries()) await slots.fill(slot, Array(512).fill(token));
    for (const texts of [[0], [0, 1]]) await slots.step(new Map(texts.map((slot) => [slot, 5])));
    expect(kernels.length).toBeGreaterThan(100);
    await compileTexts(kernels);
  },
);

test.each([0, 32])(
  'batches of 120 to 512 tokens reserve no more than 1.15 of what tensors had at once, with %i layers made again',
  (checkpointActivations) => {
    const run = sevenBillion({ checkpointActivations });
    const { stats } = run.backend;
    for (const u of uniform(isLong ? 200 : 8, { key: [5, 0] })) {
      run.update(4, 120 + Math.floor(393 * u));
      expect(stats.reservedBytes).toBeLessThan(1.15 * stats.peakBytes);
    }
  },
  600_000,
);

test('a text of 8,192 tokens takes at most 1.5 times the memory of eight of 1,024, at the width of micro', () => {
  const config: ModelConfig = {
    ...codeLlama7b,
    hiddenSize: 128,
    intermediateSize: 352,
    layers: 6,
    heads: 4,
    kvHeads: 4,
    headDim: 32,
    vocabSize: 2048,
  };
  const [long, short] = [
    [1, 8192],
    [8, 1024],
  ].map(([b, t]) => {
    const run = sevenBillion({}, { config });
    return peakOf(run, () => run.update(b, t));
  });
  expect(long).toBeLessThan(1.5 * short);
});
