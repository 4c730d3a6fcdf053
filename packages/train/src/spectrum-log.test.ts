import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { productSpectra, productsOf, readAdapterTensors, resolveLora, spectraOfAdapter } from '@flex/peft';
import { type Backend, openWasm } from '@flex/tensor';
import { relativeError } from '@flex/tensor/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Callback, loadConfig, readSpectra, train } from './index.ts';
import { spectrumOptions } from './spectrum-log.ts';

const assets = join(import.meta.dirname, '../../cli/assets');

describe('a run', () => {
  let folder: string;
  let backend: Backend;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'flex-spectrum-'));
    backend = openWasm();
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await backend.close();
  });

  const file = (out: string) => join(folder, out, 'spectrum.jsonl');
  const stepsOf = (out: string) => readSpectra(file(out)).map(({ step }) => step);

  /** Trains the bundled model for five updates on short tasks, or up to update `until`. */
  async function run(out: string, overrides: readonly string[], { until = 9, resume = false } = {}) {
    const config = await loadConfig({
      overrides: [
        `model=${join(assets, 'micro')}`,
        `data={source: ${join(assets, 'quickstart/tasks.jsonl')}, split: 1-5, max_length: 72}`,
        `out=${join(folder, out)}`,
        'train={batch_size: 1, epochs: 1, save_every: 1}',
        'lora={targets: [model.layers.0.mlp.*], rank: 2}',
        ...overrides,
      ],
    });
    const interrupt = new AbortController();
    const stopper: Callback = { onLine: ({ step }) => void (step >= until && interrupt.abort()) };
    return train(config, { backend, resume, signal: interrupt.signal, callbacks: [stopper] });
  }

  test('keeps a spectrum every N updates, whether resumed or not the same bytes', async () => {
    await run('whole', ['train.spectrum_every=2']);
    expect(stepsOf('whole')).toEqual([0, 2, 4, 5]);
    const interrupted = await run('parts', ['train.spectrum_every=2'], { until: 3 });
    expect(interrupted.status).toBe('interrupted');
    expect(stepsOf('parts')).toEqual([0, 2]);
    await run('parts', ['train.spectrum_every=2'], { resume: true });
    expect(readFileSync(file('parts')).equals(readFileSync(file('whole')))).toBe(true);
  });

  test('of one that began as a part of the weights has the products of the adapter that is saved', async () => {
    await run('pissa', ['lora.init=pissa', 'train.spectrum_every=5']);
    const [before, after] = readSpectra(file('pissa'));
    const { params, config } = readAdapterTensors(backend, join(folder, 'pissa/adapter'));
    const products = await productsOf(params, resolveLora(config, params));
    const { singularValues } = await productSpectra(backend, products);
    for (const [i, { name, singular_values }] of after.products.entries()) {
      const saved = singularValues.get(name)!;
      expect(relativeError(singular_values, saved)).toBeLessThan(1e-5);
      expect(before.products[i].singular_values[0]).toBeLessThan(1e-4 * saved[0]);
    }
  });

  test('takes back lines after the checkpoint that it goes on from', async () => {
    await run('torn', ['train.spectrum_every=1'], { until: 3 });
    rmSync(join(folder, 'torn/checkpoints/step-3'), { recursive: true });
    await run('torn', ['train.spectrum_every=1'], { resume: true });
    expect(stepsOf('torn')).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('has at λ = 0 and without a regularizer too the spectrum of its adapter, and none with 0', async () => {
    for (const [name, regularizer] of [
      ['zero', '{lambda: 0, threshold: 0.25}'],
      ['none', 'none'],
    ]) {
      await run(name, [`regularizer=${regularizer}`]);
      const [before, after] = readSpectra(file(name));
      expect([before.step, after.step]).toEqual([0, 5]);
      expect(before.totals.map(({ name, power }) => [name, power > 0])).toEqual([
        ['A', true],
        ['B', false],
        ['inputs', false],
        ['outputs', false],
      ]);
      const { params } = readAdapterTensors(backend, join(folder, name, 'adapter'));
      const threshold = name === 'zero' ? 0.25 : 0.5;
      const { each, totals } = await spectraOfAdapter(params, { threshold });
      const gate = after.parameters.find(({ name }) => name.endsWith('gate_proj.lora_A.weight'))!;
      expect(gate.share_below).toBeCloseTo(each.get('model.layers.0.mlp.gate_proj.a')!.below, 5);
      expect(after.totals[1].power / totals.get('B')!.power).toBeCloseTo(1, 5);
      for (const { singular_values } of after.products) expect(singular_values).toHaveLength(2);
    }
    await run('off', ['train.spectrum_every=0']);
    expect(existsSync(file('off'))).toBe(false);
  });
});

test('the spectrum is measured as the first penalty of the Fourier family is', () => {
  const fourier = { lambda: 0.02, threshold: 0.25, norm: 'mean', enters: 'loss' };
  expect(spectrumOptions([{ options: { lambda: 1 } }, { options: fourier }])).toMatchObject({
    threshold: 0.25,
    norm: 'mean',
    scope: 'each',
  });
  expect(spectrumOptions([])).toMatchObject({ threshold: 0.5, norm: 'ortho' });
});
