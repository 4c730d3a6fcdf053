import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { writeTinyModel } from '@flex/llama/testing';
import type { Backend } from '@flex/tensor';
import { describeEachBackend, deviceBackends, referenceBackend } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import {
  loadConfig,
  partKinds,
  type RunContext,
  type RunSummary,
  readMetrics,
  type StepMetrics,
  train,
} from './index.ts';
import { partModule } from './testing/part-module.ts';

/** A run of five updates of a tiny model, in two batches each, on rows of tokens. */
function tinyRun(backend: Backend) {
  const folder = temporaryFolder();
  writeTinyModel(join(folder, 'model'));
  const row = (i: number) =>
    JSON.stringify({ input_ids: Array.from({ length: 6 }, (_, j) => (i * j + i) % 10) });
  writeFileSync(join(folder, 'rows.jsonl'), Array.from({ length: 8 }, (_, i) => row(i + 1)).join('\n'));
  const outOf = (name: string) => join(folder, name);
  /** Bytes of tensors after each update of all runs. */
  const live: number[] = [];
  return {
    live,
    bytes: (name: string) => readFileSync(join(outOf(name), 'adapter/adapter_model.safetensors')),
    /** The lines, without what the clock and the memory say. */
    lines: (name: string) =>
      (readMetrics(join(outOf(name), 'metrics.jsonl')) as StepMetrics[]).map(
        ({ seconds, curvature_seconds, tokens_per_second, memory_bytes, ...line }) => line,
      ),
    async run(
      name: string,
      overrides: readonly string[],
      { until = 5, resume = false } = {},
    ): Promise<RunSummary> {
      const stop = new AbortController();
      const config = await loadConfig({
        overrides: [
          `model=${join(folder, 'model')}`,
          `data={source: ${join(folder, 'rows.jsonl')}}`,
          `out=${outOf(name)}`,
          'train={batch_size: 1, grad_accumulation: 2, epochs: 9, max_steps: 5, save_every: 0}',
          'lora.rank=2',
          ...overrides,
        ],
      });
      const onUpdate = ({ step }: RunContext) => {
        live.push(backend.stats.liveBytes);
        if (step >= until) stop.abort();
      };
      return train(config, { backend, resume, signal: stop.signal, callbacks: [{ onUpdate }] });
    },
  };
}

describeEachBackend(
  (backend) => {
    // Curvature is estimated at updates 1, 3 and 5; the runs stop after 3, and between two estimates.
    test.each<[string, number]>([
      ['{name: sophia-g, every: 2, lr: 0.01}', 3],
      ['{name: sophia-h, every: 2, lr: 0.01, bias_correction: true}', 2],
      ['{name: lion, lr: 0.01}', 3],
      ['{name: sgd}', 3],
    ])(
      'a run with %s that stops after update %i and goes on gives the bytes of one that never did',
      async (optimizer, until) => {
        const { run, bytes, lines } = tinyRun(backend());
        const options = [`optimizer=${optimizer}`, 'train.checkpoint_activations=true'];
        await run('whole', options);
        expect(await run('parts', options, { until })).toMatchObject({ status: 'interrupted', steps: until });
        expect(await run('parts', options, { resume: true })).toMatchObject({ status: 'done', steps: 5 });
        expect(lines('parts')).toEqual(lines('whole'));
        expect(bytes('parts').equals(bytes('whole'))).toBe(true);
      },
    );
  },
  deviceBackends.filter(({ label }) => label !== 'gpu.js cpu'),
);

test('curvature is estimated at every k-th update: its columns are there, and its share of the time', async () => {
  const { run, lines, live } = tinyRun(await referenceBackend.open());
  const summary = await run('r', ['optimizer={name: sophia-g, every: 4}']);
  expect(new Set(live).size, 'bytes after an update').toBe(1);
  expect(lines('r').map((line) => 'h_unchanged' in line)).toEqual([true, false, false, false, true]);
  for (const { win_rate, h_zero, update_ratio } of lines('r') as { [column: string]: number }[]) {
    for (const share of [win_rate, h_zero]) expect(share >= 0 && share <= 1).toBe(true);
    expect(update_ratio).toBeGreaterThan(0);
  }
  // B is 0 at first: A has no gradient, and no curvature of any label.
  expect(lines('r')[0].h_zero).toBeCloseTo((8 + 8 + 12) / (8 + 8 + 12 + 12 + 12 + 8), 5);
  expect(summary.curvature_share).toBeGreaterThan(0);
  expect(summary.curvature_share).toBeLessThan(1);
  expect(await run('adamw', [])).not.toHaveProperty('curvature_share');
});

/** A stranger's optimizer whose parameters become their gradient, told of H·θ at every other update. */
const stranger = (curvature: string, more = '') =>
  partModule(`{ name: 'own', schema: z.strictObject({}), make: () => ({
    lr: 0.01,
    init: () => new Map(),
    curvature: ${curvature},
    update: (g, state, params, { step, curvature }) => {
      if ((step % 2 === 1) !== (curvature !== undefined)) throw new Error('told at the wrong update');
      return { params: new Map(g), state };
    },
    ${more}
  }) }`);
const twice = `{ every: 2, estimate: (objective, params, { seed, step }) => objective.hessianProduct(params) }`;

test("a stranger's optimizer gets the objective, and what it says is in one line of a run, resumed or not", async () => {
  const { run, lines } = tinyRun(await referenceBackend.open());
  const words = "health: ({ step }, before) => step > 1 ? ['unwell', 'seen ' + before.length] : []";
  const own = `optimizer={use: ${stranger(twice, words)}}`;
  await run('r', [own], { until: 3 });
  await run('r', [own], { resume: true });
  expect(lines('r').map(({ warnings }) => warnings)).toEqual([
    undefined,
    ['unwell', 'seen 1'],
    ['seen 2'],
    ['seen 3'],
    ['seen 4'],
  ]);
});

test.each([
  [
    '{ every: 0, estimate() {} }',
    '',
    'optimizer "own": curvature.every must be a whole number above 0, got 0',
  ],
  ['{ every: 2, estimate: () => null.x }', '', /^optimizer "own", curvature of update 1: Cannot read/],
  [
    '{ every: 2, estimate() {} }',
    '',
    'curvature of update 1: must give tensors by parameter, estimate a Map',
  ],
  [
    '{ every: 2, estimate: () => new Map() }',
    '',
    /update 1: estimate must have \S+ of shape \[\d+, \d+\], got none/,
  ],
  [twice, "health: () => { throw new Error('ill') }", 'optimizer "own", health: ill'],
  [
    'undefined',
    "update: (g, state, params) => ({ params: g, state, diagnostics: new Map([['loss', 1]]) })",
    'optimizer "own", update 1: diagnostics: the column loss is the run\'s own',
  ],
  [
    'undefined',
    "update: (g, state, params) => ({ params: g, state, diagnostics: new Map([['mine', 1]]) })",
    'optimizer "own", update 1: diagnostics: mine must be a tensor of shape []',
  ],
])(
  'what goes wrong in its curvature, health and columns names it: %s %s',
  async (curvature, more, message) => {
    const { run } = tinyRun(await referenceBackend.open());
    const module = stranger(curvature, more);
    const failed = run('r', [`optimizer={use: ${module}}`]).then(
      () => 'nothing',
      (error: Error) => error.message.replace(` (${module})`, ''),
    );
    if (typeof message === 'string') expect(await failed).toContain(message);
    else expect(await failed).toMatch(message);
  },
);

test('all five optimizers are parts', () => {
  expect(partKinds.optimizer.parts.map(({ name }) => name)).toEqual([
    'adamw',
    'sophia-g',
    'sophia-h',
    'lion',
    'sgd',
  ]);
});
