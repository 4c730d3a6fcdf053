import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { definePart } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import type { Regularizer } from '@flex/peft';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { loadConfig, printConfig } from './config.ts';
import { defineRecipe, type Recipe, use } from './recipe.ts';

const totalVariation = definePart({
  name: 'total-variation',
  schema: z.strictObject({ order: z.int().default(1), lookAhead: z.number().default(0) }),
  make: (): Regularizer => ({ penalty: (adapters) => [...adapters.values()][0].a }),
});
const stepwise = definePart({
  name: 'stepwise',
  schema: z.strictObject({ every: z.int() }),
  make:
    ({ every }) =>
    (i: number) =>
      0.5 ** Math.floor(i / every),
});
const bare = definePart({
  name: 'bare',
  schema: z.strictObject({}),
  make: (): Regularizer => ({ penalty: (adapters) => [...adapters.values()][0].a }),
});
const needed = { model: 'm', data: { source: 'd' }, out: 'o' };

describe('a recipe', () => {
  test('means what a file of the same keys means', async () => {
    const recipe = defineRecipe({
      ...needed,
      data: { source: 'd', maxLength: 64 },
      regularizer: [{ lambda: 0.5, phiLow: 0.9 }, { name: 'l2' }],
      schedule: { name: 'linear', warmupSteps: 2 },
      train: { batchSize: 2 },
    });
    const folder = temporaryFolder();
    const file = join(folder, 'run.yaml');
    const module = join(folder, 'recipe.mjs');
    writeFileSync(module, `export default ${JSON.stringify(recipe)}`);
    writeFileSync(
      file,
      [
        'model: m\nout: o\ndata: {source: d, max_length: 64}\ntrain: {batch_size: 2}',
        'regularizer: [{lambda: 0.5, phi_low: 0.9}, {name: l2}]\nschedule: {name: linear, warmup_steps: 2}\n',
      ].join('\n'),
    );
    expect(await loadConfig({ file: module })).toEqual(await loadConfig({ file }));
  });

  test('is a module, over which overrides are spelt as everywhere', async () => {
    const file = join(temporaryFolder(), 'recipe.mjs');
    writeFileSync(file, `export default ${JSON.stringify({ ...needed, train: { batchSize: 2 } })};`);
    expect((await loadConfig({ file, overrides: ['train.batch_size=3'] })).train.batchSize).toBe(3);
    const wrong = loadConfig({ file, overrides: ['train.batchSize=3'] });
    await expect(wrong).rejects.toThrow('train.batchSize is not a key; did you mean train.batch_size?');
  });

  test('that cannot be loaded, is none or has a wrong key is told in one line', async () => {
    const folder = temporaryFolder();
    const load = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return loadConfig({ file: join(folder, name) });
    };
    await expect(load('a.mjs', 'throw new Error("no\\nway")')).rejects.toThrow(
      /a\.mjs cannot be loaded: no way \(line 1\)$/,
    );
    await expect(load('b.mjs', 'export default 3')).rejects.toThrow(
      /b\.mjs: must have a default export made with/,
    );
    const wrong = JSON.stringify({ ...needed, train: { batchSize: 0 } });
    await expect(load('c.mjs', `export default ${wrong}`)).rejects.toThrow(
      /c\.mjs: train\.batch_size must be/,
    );
  });

  test('has parts as values, with their options and those of the run', async () => {
    const recipe = defineRecipe({
      ...needed,
      regularizer: use(totalVariation, { lambda: 0.5, lookAhead: 1 }),
      schedule: use(stepwise, { every: 3 }),
    });
    expect(use(bare, { lambda: 1 })).toMatchObject({ use: bare, lambda: 1 });
    const config = await loadConfig({ defaults: recipe });
    expect(config.regularizer).toEqual([
      { use: totalVariation, lambda: 0.5, order: 1, lookAhead: 1, enters: 'loss' },
    ]);
    expect(printConfig(config)).toContain(
      'regularizer:\n  name: total-variation\n  lambda: 0.5\n  order: 1\n  look_ahead: 1\n',
    );
    const wrong = { ...recipe, schedule: use(stepwise, {} as never) };
    await expect(loadConfig({ defaults: wrong })).rejects.toThrow(
      'schedule.every is missing; it must be a whole number',
    );
  });
});

test('what is misspelt or out of place in a recipe does not compile', () => {
  // @ts-expect-error
  const key: Recipe = { ...needed, train: { batchSiez: 4 } };
  // @ts-expect-error
  const spelling: Recipe = { ...needed, train: { batch_size: 4 } };
  // @ts-expect-error
  const section: Recipe = { ...needed, optimiser: {} };
  // @ts-expect-error
  const type: Recipe = { ...needed, train: { batchSize: '4' } };
  // @ts-expect-error
  const value: Recipe = { ...needed, regularizer: { name: 'fourier', norm: 'otho' } };
  // @ts-expect-error
  const option: Recipe = { ...needed, regularizer: { name: 'l2', threshold: 1 } };
  // @ts-expect-error
  const lone: Recipe = { ...needed, regularizer: { name: 'l2', lamda: 1 } };
  // @ts-expect-error
  const inList: Recipe = { ...needed, regularizer: [{ name: 'l2', lamda: 1 }] };
  // @ts-expect-error
  const name: Recipe = { ...needed, optimizer: { name: 'adam' } };
  // @ts-expect-error
  const ofPart: Recipe = { ...needed, regularizer: use(totalVariation, { oder: 1 }) };
  // @ts-expect-error
  const ofRun: Recipe = { ...needed, regularizer: use(totalVariation, { lamda: 1 }) };
  // @ts-expect-error
  const lambda: Recipe = { ...needed, schedule: use(stepwise, { every: 1, lambda: 1 }) };
  // @ts-expect-error
  const missing: Recipe = { ...needed, schedule: use(stepwise, {}) };
  // @ts-expect-error
  const kind: Recipe = { ...needed, optimizer: use(totalVariation, {}) };
  // @ts-expect-error
  const inline: Recipe = { ...needed, regularizer: { use: totalVariation, oder: 1 } };
  // @ts-expect-error
  const absent: Recipe = { model: 'm', out: 'o' };
  const all = { key, spelling, section, type, value, option, inList, name, ofPart, ofRun, lambda, missing };
  expect(Object.keys({ ...all, kind, inline, absent, lone })).toHaveLength(16);
});
