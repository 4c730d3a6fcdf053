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
    let warnings: readonly string[] = [];
    const { callbacks = [], ...others } = options;
    const note: Callback = {
      onStart({ info }) {
        warnings = info.warnings;
      },
      onLine: (_, line) => void lines.push(line),
    };
    await train(config, { backend: backend(), callbacks: [note, ...callbacks], ...others });
    const bytes = (file: string) => readFileSync(join(out, 'r', file));
    return { out, lines, warnings, bytes, adapter: bytes('adapter/adapter_model.safetensors') };
  }
  const own = (line: StepMetrics) => Object.keys(line).filter((key) => /^(penalty|share_below)/.test(key));

  test('several have columns each, one that is there twice by a number, and penalty is their sum', async () => {
    const three = '{name: fourier}, {name: l2, lambda: 0.001}, {name: l2, enters: decoupled}';
    const { out, lines, bytes } = await run(`[${three}]`);
    const columns = ['penalty', 'penalty.fourier', 'penalty.l2', 'penalty.l2-2'];
    expect(own(lines[0])).toEqual(columns);
    expect(own(lines[1])).toEqual([...columns, 'share_below.fourier']);
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
    for (const tag of [...columns, 'share_below.fourier']) expect(events).toContain(tag);
  });

  test('one alone has the columns without a name, and what λ = 0 only watches changes no bit', async () => {
    const alone = await run('{name: matched-l2, match: gradient}');
    expect(own(alone.lines[1])).toEqual(['penalty']);
    const watched = await run('[{name: matched-l2, match: gradient}, {name: fourier, lambda: 0}]');
    expect(own(watched.lines[1])).toContain('share_below.fourier');
    expect(watched.adapter.equals(alone.adapter)).toBe(true);
    const fourier = await run('{name: fourier}');
    expect(own(fourier.lines[1])).toEqual(['penalty', 'share_below']);
    expect(fourier.lines[0].penalty).toBe(watched.lines[0]['penalty.fourier']);
    expect(fourier.adapter.equals(alone.adapter)).toBe(false);
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

  test('a run is told before its first update of what leaves nothing to learn, once', async () => {
    const interrupt = new AbortController();
    const { warnings, out } = await run('{name: fourier, norm: backward}', {
      signal: interrupt.signal,
      callbacks: [{ onUpdate: () => interrupt.abort() }],
    });
    expect(warnings.join()).toMatch(/^regularizer "fourier": before the first update λ·L is \d+ times/);
    const resumed = await run('{name: fourier, norm: backward}', { out, resume: true });
    expect(resumed.warnings).toEqual([]);
  });
}, devices);

test("a regularizer's own column has a name that the run's do not", async () => {
  const { penalty } = l2();
  const { diagnostics } = namedRegularizer('own', { penalty, diagnostics: async () => ({ loss: 1 }) });
  await expect(diagnostics!(new Map())).rejects.toThrow(
    `regularizer "own", diagnostics: the column loss is the run's own`,
  );
});
