import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { l2 } from '@flex/peft';
import type { Backend } from '@flex/tensor';
import { describeEachBackend, deviceBackends } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { type Callback, loadConfig, type StepMetrics, type TrainOptions, train } from './index.ts';
import { namedRegularizer } from './named-parts.ts';

const assets = join(import.meta.dirname, '../../cli/assets');
const devices = deviceBackends.filter(({ label }) => label === 'wasm');

describeEachBackend((backend: () => Backend) => {
  /** Trains the bundled model for two updates with these regularizers. */
  async function run(
    regularizer: string,
    { out = temporaryFolder(), ...options }: Partial<TrainOptions> & { out?: string } = {},
  ) {
    const config = await loadConfig({
      overrides: [
        `model=${join(assets, 'micro')}`,
        `data={source: ${join(assets, 'quickstart/tasks.jsonl')}, split: 1-2, max_length: 72}`,
        `out=${join(out, 'r')}`,
        'train={batch_size: 1, epochs: 1, save_every: 0}',
        'optimizer.lr=0.002',
        `regularizer=${regularizer}`,
      ],
    });
    const lines: StepMetrics[] = [];
    const { callbacks = [], ...others } = options;
    const note: Callback = {
      onLine: (_, line) => void lines.push(line),
    };
    await train(config, { backend: backend(), callbacks: [note, ...callbacks], ...others });
    const bytes = (file: string) => readFileSync(join(out, 'r', file));
    return { out, lines, bytes, adapter: bytes('adapter/adapter_model.safetensors') };
  }
  const own = (line: StepMetrics) =>
    Object.keys(line).filter((key) => /^(weighted_)?penalty|^share_below/.test(key));

  test('several have columns each, one that is there twice by a number, and penalty is their sum', async () => {
    const three = '{name: fourier}, {name: l2, lambda: 0.001}, {name: l2, enters: decoupled}';
    const { out, lines, bytes } = await run(`[${three}]`);
    const columns = ['penalty', 'penalty.fourier', 'penalty.l2', 'penalty.l2-2'];
    const ofEach = ['fourier', 'l2', 'l2-2'].flatMap((label) =>
      ['penalty', 'weighted_penalty', 'penalty_grad_norm', 'penalty_grad_share'].map(
        (key) => `${key}.${label}`,
      ),
    );
    // What is decoupled is no part of the gradient.
    const told = ['penalty', ...ofEach.filter((column) => column !== 'penalty_grad_share.l2-2')];
    expect(own(lines[0])).toEqual(told);
    expect(own(lines[1])).toEqual([...told, 'share_below', 'share_below.fourier']);
    for (const line of lines) {
      const [sum, ...each] = columns.map((column) => Number(line[column]));
      expect(each.reduce((total, one) => total + one)).toBe(sum);
      expect(each[1]).toBe(each[2]);
      expect(each[0]).not.toBe(each[1]);
    }
    const { regularizers } = JSON.parse(bytes('manifest.json').toString()).protocol;
    expect(regularizers.map(({ name }: { name: string }) => name)).toEqual(['fourier', 'l2', 'l2']);
    const board = join(out, 'r/tensorboard');
    const events = readFileSync(join(board, readdirSync(board)[0])).toString('latin1');
    for (const tag of [...told, 'share_below.fourier']) expect(events).toContain(tag);
  });

  test('what λ = 0 only watches changes no bit, and its columns are those of the same at another λ', async () => {
    const alone = await run('{name: matched-l2, match: gradient}');
    const watched = await run('[{name: matched-l2, match: gradient}, {name: fourier, lambda: 0}]');
    expect(watched.adapter.equals(alone.adapter)).toBe(true);
    expect(watched.lines[0]).toMatchObject({
      'weighted_penalty.fourier': 0,
      'penalty_grad_norm.fourier': 0,
      'penalty_grad_share.fourier': 0,
    });
    const fourier = await run('{name: fourier}');
    expect(own(fourier.lines[1])).toEqual(own(watched.lines[1]).filter((key) => !key.endsWith('matched-l2')));
    expect(fourier.lines[0]['penalty.fourier']).toBe(watched.lines[0]['penalty.fourier']);
    expect(fourier.adapter.equals(alone.adapter)).toBe(false);
  });

  test('the share at low frequencies is measured alike in every arm of an experiment', async () => {
    const [none, zero, l2] = [
      await run('none'),
      await run('{name: fourier, lambda: 0}'),
      await run('{name: l2, lambda: 0}'),
    ];
    // Equal adapters, equal columns.
    expect(none.adapter.equals(zero.adapter) && none.adapter.equals(l2.adapter)).toBe(true);
    const [share] = [none, zero, l2].map(({ lines }) => lines[1].share_below);
    expect(share).toBeGreaterThan(0);
    for (const { lines } of [none, zero, l2]) expect(lines[1].share_below).toBe(share);
    expect(zero.lines[1]['share_below.fourier']).toBe(share);
    expect(own(none.lines[1])).toEqual(['penalty', 'share_below']);
    // As the arm's own penalty weighs: with its threshold, and each A and B whatever its scope.
    const options = 'threshold: 0.25, lambda: 0';
    const narrow = await run(`{name: fourier, ${options}}`);
    const product = await run(`{name: matched-l2, scope: product, match: penalty, factor: kept, ${options}}`);
    expect(narrow.lines[1].share_below).toBeLessThan(Number(share));
    expect(product.lines[1].share_below).toBe(narrow.lines[1].share_below);
  });

  test('what is fixed at the start is that of the start where a run goes on, to the bit', async () => {
    const all = '[{name: matched-l2}, {name: matched-l2, match: gradient}, {name: dct, scope: change}]';
    const whole = await run(all);
    const interrupt = new AbortController();
    const out = temporaryFolder();
    const stop = { onUpdate: () => interrupt.abort() };
    await run(all, { out, signal: interrupt.signal, callbacks: [stop] });
    const parts = await run(all, { out, resume: true });
    expect(parts.lines.map(({ step }) => step)).toEqual([2]);
    expect(parts.adapter.equals(whole.adapter)).toBe(true);
    const penalties = (line: StepMetrics) => own(line).map((key) => line[key]);
    expect(parts.lines.map(penalties)).toEqual(whole.lines.slice(1).map(penalties));
  });

  test('a run is told with its first update of what leaves nothing to learn, once', async () => {
    const interrupt = new AbortController();
    const { lines, out } = await run('{name: fourier, norm: backward}', {
      signal: interrupt.signal,
      callbacks: [{ onUpdate: () => interrupt.abort() }],
    });
    expect(lines.map(({ warnings }) => warnings?.join())).toEqual([
      expect.stringMatching(/^regularizer "fourier": at the start λ·L is \d+ times/),
    ]);
    const resumed = await run('{name: fourier, norm: backward}', { out, resume: true });
    expect(resumed.lines.map(({ step, warnings }) => [step, warnings])).toEqual([[2, undefined]]);
  });
}, devices);

test("a regularizer's own column has a name that the run's do not", async () => {
  const { penalty } = l2();
  const { diagnostics } = namedRegularizer('regularizer "own"', {
    penalty,
    diagnostics: async () => ({ penalty_grad_norm: 1 }),
  });
  await expect(diagnostics!(new Map())).rejects.toThrow(
    `regularizer "own", diagnostics: the column penalty_grad_norm is the run's own`,
  );
});
