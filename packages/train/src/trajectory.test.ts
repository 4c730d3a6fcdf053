import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeShared, goldenModels, goldens, openGolden, readTensors } from '@flex/fixtures';
import type { Backend } from '@flex/tensor';
import { describeEachBackend, deviceBackends, relativeError } from '@flex/tensor/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig, type StepMetrics, train } from './index.ts';

interface Trajectory {
  readonly trajectory: readonly {
    step: number;
    lr: number;
    loss: number;
    penalty: number;
    grad_norm: number;
  }[];
}

const within = (got: number, want: number, tolerance: number, what: string) =>
  expect(
    Math.abs(got - want) / Math.max(1e-12, Math.abs(want)),
    `${what}: ${got}, PyTorch ${want}`,
  ).toBeLessThan(tolerance);

describeShared(goldens, 'twelve updates equal PyTorch, PEFT and AdamW', () => {
  let out: string;
  beforeEach(() => {
    out = mkdtempSync(join(tmpdir(), 'flex-trajectory-'));
  });
  afterEach(() => rmSync(out, { recursive: true, force: true }));

  const devices = deviceBackends.filter(({ label }) => label !== 'gpu.js cpu');
  describeEachBackend((backend: () => Backend) => {
    test.each(goldenModels)('%s: loss, penalty, gradient norm and the adapter', async (name) => {
      const golden = openGolden(name);
      // The model's folder has no tokenizer, which rows of ids do not need.
      const config = await loadConfig({
        overrides: [
          `model=${golden.path('model')}`,
          `adapter=${golden.path('adapter')}`,
          `data.source=${golden.path('train.jsonl')}`,
          'data.shuffle=false',
          `out=${join(out, 'run')}`,
          'dtype=f32',
          'optimizer.lr=0.002',
          'schedule.warmup_steps=2',
          'train.batch_size=2',
          'train.max_steps=12',
          'train.epochs=10',
          'train.save_every=0',
        ],
      });
      const steps: StepMetrics[] = [];
      await train(config, {
        backend: backend(),
        callbacks: [{ onLine: (_, line) => void steps.push(line) }],
      });
      const { trajectory } = golden.json<Trajectory>('train_adamw.json');
      expect(steps.length).toBe(trajectory.length);
      trajectory.forEach((want, i) => {
        const got = steps[i];
        expect(Math.abs(got.lr - want.lr)).toBeLessThan(1e-12);
        within(got.loss, want.loss, 2e-4, `loss of update ${want.step}`);
        within(got.penalty, want.penalty, 2e-4, `penalty of update ${want.step}`);
        within(got.grad_norm, want.grad_norm, 2e-3, `gradient norm of update ${want.step}`);
      });
      const written = golden.tensors('train_adamw_adapter/adapter_model.safetensors');
      const ours = readTensors(join(out, 'run/adapter/adapter_model.safetensors'));
      expect([...ours.keys()].sort()).toEqual([...written.keys()].sort());
      for (const [key, { data }] of ours)
        expect(relativeError(data, written.get(key)!.data), key).toBeLessThan(2e-3);
    });
  }, devices);
});
