import { join } from 'node:path';
import { mapTree } from '@flex/autograd';
import { type CausalLM, loadModel } from '@flex/llama';
import { adamw } from '@flex/optim';
import {
  type Adapters,
  dctPenalty,
  type FourierOptions,
  flattenAdapters,
  fourier,
  initLora,
  type LoraConfig,
  l2,
  type Regularizer,
  resolveLora,
  resolveTargets,
} from '@flex/peft';
import { type Backend, eachTensor, mul } from '@flex/tensor';
import { describeEachBackend, deviceBackends } from '@flex/tensor/testing';
import { beforeEach, expect, test } from 'vitest';
import { collate } from './data/batches.ts';
import { warningsOf } from './health.ts';
import { makeUpdate } from './make-update.ts';
import { distinctLabels } from './regularizer-columns.ts';
import { newTrainee } from './trainee.ts';
import type { UpdateSetup, WeightedRegularizer } from './update.ts';

const micro = join(import.meta.dirname, '../../cli/assets/micro');
const devices = deviceBackends.filter(({ label }) => label === 'wasm');

describeEachBackend((backend: () => Backend) => {
  let model: CausalLM;
  let params: Adapters;
  const lora: LoraConfig = { rank: 8, alpha: 16, dropout: 0.05, targets: 'mlp', scaling: 'alpha/r' };
  beforeEach(async () => {
    model ??= await loadModel(backend(), micro, { dtype: 'f16' });
    params ??= initLora(backend(), lora, resolveTargets('mlp', model.linears), 0);
  });
  const ids = Int32Array.from({ length: 12 }, (_, i) => 3 + ((i * 7919) % 200));

  /** The warnings of a run of 125 updates with these regularizers, after its first. */
  async function warned(...given: (Partial<WeightedRegularizer> & { regularizer: Regularizer })[]) {
    const labels = distinctLabels(given.map(({ label = 'p' }) => label));
    const regularizers = given.map((one, i) => ({
      lambda: 0.02,
      enters: 'loss' as const,
      ...one,
      label: labels[i],
      title: `regularizer "${one.label ?? 'p'}"`,
    }));
    const optimizer = adamw({ lr: 2e-4 });
    const setup: UpdateSetup = {
      model,
      lora: resolveLora(lora, params),
      optimizer,
      regularizers,
      maxGradNorm: 1,
      checkpointActivations: 0,
      seed: 0,
      gradAccumulation: 1,
    };
    const trainee = await newTrainee({
      params: mapTree((t) => mul(t, 1), params),
      whole: new Map(),
      state: optimizer.init(flattenAdapters(params)),
    });
    const batch = collate([{ input_ids: ids, labels: ids, rows: ['ids:1'] }]);
    const plan = { steps: 125, batches: () => [[0]], epochAfter: () => 1 };
    const line = await makeUpdate({ setup, trainee, batches: () => [batch], plan, schedule: () => 1 }, 1);
    const { warnings = [] } = await warningsOf({ setup, trainee, plan }, line, []);
    eachTensor(trainee, (t) => t.dispose());
    return warnings;
  }
  const of = (options: Partial<FourierOptions>) => ({ regularizer: fourier(options) });

  test('of a gradient that the task can not be heard beside, as measured, and of the λ that it can', async () => {
    const strong = { ...of({ norm: 'backward' }), label: 'fourier' };
    const [line, ...others] = await warned(strong);
    expect(others).toEqual([]);
    const [loss, gradient, equal] = [...line.matchAll(/\d\S*(?= times| makes)/g)].map(Number);
    expect(line).toBe(
      `regularizer "fourier": at the start λ·L is ${loss} times the task's loss and its gradient ` +
        `${gradient} times the task's: this shrinks the adapter away, and little is learnt; lower its lambda ` +
        `(${equal} makes them equal)`,
    );
    expect(loss).toBeGreaterThan(10);
    expect((equal * gradient) / 0.02).toBeCloseTo(1, 1);
    const { liveBytes } = backend().stats;
    expect(await warned(strong)).toEqual([line]);
    expect(backend().stats.liveBytes).toBe(liveBytes);
    expect(await warned({ ...of({ norm: 'backward' }), lambda: equal })).toEqual([]);
    expect((await warned({ ...of({ norm: 'backward' }), lambda: 11 * equal })).length).toBe(1);
    expect(await warned({ regularizer: l2(), lambda: 0 }, { regularizer: l2(), lambda: 100 })).toMatchObject([
      expect.stringContaining('regularizer "p": at the start'),
    ]);
  });

  test('of a decoupled one that alone would take the adapter to zero in the run', async () => {
    expect(await warned({ ...of({ norm: 'backward' }), enters: 'decoupled', lambda: 0.2 })).toMatchObject([
      expect.stringMatching(/: lr·λ·∇L is \S+ % of the adapter's norm, in each of 125 updates: this shrinks/),
    ]);
    expect(await warned({ ...of({}), enters: 'decoupled', lambda: 0.2 })).toEqual([]);
  });

  test('of a constant one, which one that begins at zero is not', async () => {
    const zero =
      'regularizer "p": its gradient is 0 at the start and at weights drawn at random: it does nothing';
    expect(await warned(of({ phiLow: 1, phiHigh: 1 }))).toEqual([zero]);
    expect(await warned({ regularizer: dctPenalty({ phiLow: 1, phiHigh: 1 }) })).toEqual([zero]);
    expect(await warned({ regularizer: fourier({ scope: 'change' }, params) })).toEqual([]);
    expect(await warned(of({ scope: 'product' }))).toEqual([]);
  });

  test('of nothing else, and of none without penalties', async () => {
    expect(await warned(of({}), { regularizer: dctPenalty() }, { regularizer: l2() })).toEqual([]);
    expect(await warned()).toEqual([]);
  });
}, devices);
