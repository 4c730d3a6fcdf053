import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTensors } from '@flex/fixtures';
import type { Backend } from '@flex/tensor';
import { describeEachBackend, deviceBackends, relativeError } from '@flex/tensor/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type Callback,
  loadConfig,
  readManifest,
  type StepMetrics,
  type TrainOptions,
  train,
} from './index.ts';

const assets = join(import.meta.dirname, '../../cli/assets');
const devices = deviceBackends.filter(({ label }) => label !== 'gpu.js cpu');

describeEachBackend((backend: () => Backend) => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'flex-loop-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Trains the bundled model for a few updates on short tasks. */
  async function run(out: string, overrides: readonly string[] = [], options: Partial<TrainOptions> = {}) {
    const config = await loadConfig({
      overrides: [
        `model=${join(assets, 'micro')}`,
        `data.source=${join(assets, 'quickstart/tasks.jsonl')}`,
        'data.split=1-6',
        'data.max_length=72',
        `out=${join(folder, out)}`,
        'train.batch_size=2',
        'train.epochs=2',
        'train.save_every=0',
        'optimizer.lr=0.002',
        ...overrides,
      ],
    });
    const steps: StepMetrics[] = [];
    const { callbacks = [], ...others } = options;
    const record: Callback = { onLine: (_, line) => void steps.push(line) };
    const summary = await train(config, { backend: backend(), callbacks: [record, ...callbacks], ...others });
    return { summary, steps, config };
  }
  const adapterOf = (out: string) => readFileSync(join(folder, out, 'adapter/adapter_model.safetensors'));

  test('the same configuration and seed give the same bytes twice, another seed gives others', async () => {
    await run('a');
    await run('b');
    await run('c', ['train.seed=1']);
    expect(adapterOf('a').equals(adapterOf('b'))).toBe(true);
    expect(adapterOf('a').equals(adapterOf('c'))).toBe(false);
  });

  test('the targets of an adapter that is continued are a set of layers, however they are named', async () => {
    await run('first', ['train.max_steps=1']);
    const from = [`adapter=${join(folder, 'first/adapter')}`, 'train.max_steps=1'];
    const same = ['[up_proj,down_proj,gate_proj]', '["*.mlp.*"]'];
    for (const [i, targets] of same.entries()) await run(`same-${i}`, [...from, `lora.targets=${targets}`]);
    expect(adapterOf('same-1').equals(adapterOf('same-0'))).toBe(true);
    const other = run('other', [...from, 'lora.targets=[up_proj]']);
    await expect(other).rejects.toThrow(
      /^lora.targets is \["up_proj"\], but the adapter .* has \["down_proj","gate_proj","up_proj"\]; leave it out$/,
    );
  });

  test('a run that is interrupted and resumed gives the bytes of one that never stopped', async () => {
    const whole = await run('whole');
    const interrupt = new AbortController();
    const first = await run('parts', [], {
      signal: interrupt.signal,
      callbacks: [
        {
          onUpdate({ step }) {
            if (step === 3) interrupt.abort();
          },
        },
      ],
    });
    expect(first.summary.status).toBe('interrupted');
    expect(first.summary.steps).toBe(3);
    const second = await run('parts', [], { resume: true });
    expect(second.steps.map((m) => m.step)).toEqual([4, 5, 6]);
    expect(adapterOf('parts').equals(adapterOf('whole'))).toBe(true);
    const lines = (out: string) =>
      readFileSync(join(folder, out, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as StepMetrics)
        .map(({ step, loss, penalty, grad_norm }) => ({ step, loss, penalty, grad_norm }));
    expect(lines('parts')).toEqual(lines('whole'));
    expect(whole.summary.steps).toBe(6);
    const { provenance, ...manifest } = readManifest(join(folder, 'parts'));
    expect(manifest.resumed).toEqual(provenance.resumed);
    expect(second.summary.provenance).toEqual({ ...provenance, finished: expect.any(String) });
    expect(provenance.resumed.map(({ after }) => after)).toEqual([3]);
    expect(provenance.digest).toBe(whole.summary.provenance.digest);
  });

  test('packed rows are fewer updates of the same tokens, and are resumed to the same bytes', async () => {
    const packed = [
      'data.packing=true',
      'data.max_length=300',
      'data.split=1-4',
      'train.batch_size=1',
      'train.epochs=1',
    ];
    const { steps, summary } = await run('packed', packed);
    const { data } = JSON.parse(readFileSync(join(folder, 'packed/manifest.json'), 'utf8')).protocol;
    expect(data).toMatchObject({ examples: 4, rows: steps.length, tokens: summary.tokens });
    expect(data.rows).toBeLessThan(4);
    const interrupt = new AbortController();
    const stop: Callback = { onUpdate: () => interrupt.abort() };
    await run('parts', packed, { signal: interrupt.signal, callbacks: [stop] });
    await run('parts', packed, { resume: true });
    expect(adapterOf('parts').equals(adapterOf('packed'))).toBe(true);
  });

  test('a finished run that is resumed is left as it is', async () => {
    const { summary } = await run('r', ['train.max_steps=1']);
    const again = await run('r', ['train.max_steps=1'], { resume: true });
    expect(again.steps).toEqual([]);
    expect(again.summary).toEqual(summary);
  });

  test('two held-out sets of one name keep a loss each', async () => {
    const tasks = join(assets, 'quickstart/tasks.jsonl');
    const twice = `eval=[{source: ${tasks}, split: '81'}, {source: ${tasks}, split: '81', loss_on: all}]`;
    const { summary } = await run('r', ['train.max_steps=1', twice]);
    expect(Object.keys(summary.eval)).toEqual(['tasks.jsonl 81', 'tasks.jsonl 81 (2)']);
  });

  test('a checkpoint of another configuration is refused, a run is not overwritten unasked', async () => {
    await run('r', ['train.save_every=2']);
    await expect(run('r')).rejects.toThrow(/holds a run/);
    await expect(run('r', ['train.save_every=2', 'optimizer.lr=0.1'], { resume: true })).rejects.toThrow(
      /another/,
    );
  });

  test('gradient accumulation weighs by tokens: two batches of two equal one of four', async () => {
    const four = await run('four', ['train.batch_size=4', 'lora.dropout=0', 'data.split=1-4']);
    const twice = await run('twice', ['train.grad_accumulation=2', 'lora.dropout=0', 'data.split=1-4']);
    expect(twice.steps.length).toBe(four.steps.length);
    for (const [i, m] of twice.steps.entries()) expect(m.loss).toBeCloseTo(four.steps[i].loss, 4);
    const a = readTensors(join(folder, 'four/adapter/adapter_model.safetensors'));
    const b = readTensors(join(folder, 'twice/adapter/adapter_model.safetensors'));
    for (const [key, { data }] of a) expect(relativeError(b.get(key)!.data, data), key).toBeLessThan(1e-2);
  });

  test('recomputed activations give the bits of kept ones, with less memory', async () => {
    const { stats } = backend();
    /** Bytes at once above those that were there before; a run leaves its model on the device. */
    const most = async (out: string, recomputed: boolean) => {
      backend().resetPeak();
      const before = stats.liveBytes;
      await run(out, ['train.max_steps=2', `train.checkpoint_activations=${recomputed}`]);
      return stats.peakBytes - before;
    };
    const kept = await most('kept', false);
    expect(await most('recomputed', true)).toBeLessThan(kept);
    expect(adapterOf('recomputed').equals(adapterOf('kept'))).toBe(true);
  });

  test('memory is flat, and a batch of a new length compiles nothing after the first updates', async () => {
    const live: number[] = [];
    const compiled: number[] = [];
    await run('flat', ['data.split=1-16', 'data.max_length=512', 'train.batch_size=1', 'train.epochs=1'], {
      callbacks: [
        {
          onUpdate() {
            live.push(backend().stats.liveBytes);
            compiled.push(backend().stats.pipelines);
          },
        },
      ],
    });
    expect(new Set(live.slice(2)).size).toBe(1);
    expect(new Set(compiled.slice(4)).size).toBe(1);
  });

  test('everything a run should leave is in its folder, and the loss falls', async () => {
    const tasks = join(assets, 'quickstart/tasks.jsonl');
    const { summary } = await run('r', [
      'train.save_every=4',
      `eval={source: ${tasks}, split: 81-82}`,
      'train.epochs=4',
    ]);
    for (const name of ['config.yaml', 'manifest.json', 'metrics.jsonl', 'summary.json', 'tensorboard']) {
      expect(existsSync(join(folder, 'r', name)), name).toBe(true);
    }
    expect(existsSync(join(folder, 'r/checkpoints/step-4/adapter/adapter_config.json'))).toBe(true);
    expect(existsSync(join(folder, 'r/adapter/adapter_config.json'))).toBe(true);
    expect(summary.loss.last!).toBeLessThan(summary.loss.first!);
    const [held] = Object.values(summary.eval);
    expect(held.before).toBeGreaterThan(1);
    expect(Number.isFinite(held.after)).toBe(true);
  });
}, devices);
