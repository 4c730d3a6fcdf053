import { writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { temporaryFile, temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadConfig, printConfig } from './config.ts';

const drift = join(import.meta.dirname, 'testing/parts/drift.ts');

const load = (overrides: readonly string[] = []) =>
  loadConfig({ overrides: ['model=m', 'data.source=d.jsonl', 'out=o', ...overrides] });

describe('a printed configuration', () => {
  const text = fc.oneof(
    fc.string({ minLength: 1 }),
    fc.string({ unit: 'grapheme', minLength: 1 }),
    fc.constantFrom('null', '1e3', '~', 'a: b', '"', '\r\n ', ' # x'),
  );
  // A hub's name would have to be in the cache of this machine.
  const path = text.filter((path) => !/^\w[^/]*\/[^/]+$/.test(path));
  const amount = fc.double({ min: 1e-12, max: 1e12, noNaN: true });
  const unit = fc.double({ min: 0, max: 0.999, noNaN: true });
  const count = fc.integer({ min: 1, max: 1e9 });
  const some = <T extends Record<string, fc.Arbitrary<unknown>>>(model: T) =>
    fc.record(model, { requiredKeys: [] });
  const split = fc.constantFrom('train', 'all', '11-510', '511-600,prompt', '7', null);
  const template = fc.option(fc.record({ prompt: fc.string(), completion: text }));
  const fourier = some({
    lambda: amount,
    threshold: fc.double({ min: 1e-9, max: 1, noNaN: true }),
    phi_low: unit,
    phi_high: unit,
    norm: fc.constantFrom('ortho', 'backward', 'mean'),
    scope: fc.constantFrom('each', 'product', 'change'),
    order: fc.constantFrom('row', 'permuted'),
  });
  const own = some({
    order: count,
    look_ahead: unit,
    weights: fc.dictionary(fc.stringMatching(/^[a-zA-Z_]{1,9}$/), amount),
  }).map((options) => ({ ...options, use: drift }));
  const penalty = fc.oneof(
    fourier,
    own,
    some({ lambda: amount }).map((options) => ({ ...options, name: 'l2' })),
  );
  const heldOut = fc.record(
    { source: path, split, max_length: count.map((n) => n + 1), template },
    { requiredKeys: ['source'] },
  );
  const configuration = fc.record(
    {
      model: path,
      out: path,
      data: fc.record({ source: path, split, template, shuffle: fc.boolean() }, { requiredKeys: ['source'] }),
      preset: fc.constantFrom('corrected', 'paper', 'author-script'),
      adapter: fc.option(path),
      dtype: fc.constantFrom('f32', 'f16'),
      lora: some({
        rank: count,
        alpha: amount,
        dropout: unit,
        targets: fc.oneof(
          fc.constantFrom('mlp', 'attention', '.*\\.(q|v)_proj'),
          fc.array(text, { minLength: 1 }),
        ),
        init: fc.constantFrom('kaiming', 'random', 'gaussian', 'orthogonal', 'pissa', 'olora'),
        dora: fc.boolean(),
        lora_bias: fc.boolean(),
        bias: fc.constantFrom('none', 'all', 'lora_only'),
        rank_pattern: fc.dictionary(text, count),
        alpha_pattern: fc.dictionary(text, amount),
        exclude_modules: fc.oneof(text, fc.array(text, { minLength: 1 })),
        layers_to_transform: fc.oneof(fc.nat(), fc.array(fc.nat(), { minLength: 1 })),
      }),
      optimizer: some({ lora_plus_ratio: amount, lr: amount, betas: fc.tuple(unit, unit), eps: amount }),
      schedule: some({ warmup_steps: count, min_lr_ratio: unit }),
      regularizer: fc.oneof(fc.constant('none'), penalty, fc.array(penalty)),
      train: some({
        batch_size: count,
        max_steps: fc.option(count),
        max_grad_norm: fc.option(amount),
        checkpoint_activations: fc.constantFrom('auto', true, false),
      }),
      eval: fc.oneof(heldOut, fc.array(heldOut)),
    },
    { requiredKeys: ['model', 'out', 'data'] },
  );

  test('loaded again is the identical configuration', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'run.json');
    const again = join(folder, 'again.yaml');
    await fc.assert(
      fc.asyncProperty(configuration, async (values) => {
        const heldOut = [values.eval ?? []]
          .flat()
          .some(({ source }) => resolve(source) === resolve(values.data.source));
        const { rank_pattern, alpha_pattern } = values.lora ?? {};
        // Its scaling alpha has none.
        const isPaperWithPattern =
          values.preset === 'paper' &&
          [rank_pattern, alpha_pattern].some((pattern) => Object.keys(pattern ?? {}).length > 0);
        fc.pre(!heldOut && !isPaperWithPattern);
        writeFileSync(file, JSON.stringify(values));
        const config = await loadConfig({ file });
        writeFileSync(again, printConfig(config));
        expect(await loadConfig({ file: again })).toEqual(config);
      }),
      { numRuns: 200 },
    );
  });

  test('shows one penalty as a section, and no penalty as none', async () => {
    expect(printConfig(await load())).toContain('regularizer:\n  name: fourier\n');
    expect(printConfig(await load(['regularizer=none']))).toContain('regularizer: none\n');
  });

  test('names a module by a path that holds in any folder, with its defaults', async () => {
    const use = relative(process.cwd(), drift);
    const config = await load([`regularizer.use=./${use}`]);
    const text = printConfig(config);
    expect(text).toContain(`regularizer:\n  use: ${drift}\n  lambda: 0.02\n  order: 2\n  look_ahead: 0.5\n`);
    expect(await loadConfig({ file: temporaryFile('config.yaml', text) })).toEqual(config);
  });
});
