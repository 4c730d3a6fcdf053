import { join } from 'node:path';
import { grad, mapTree } from '@flex/autograd';
import { temporaryFolder } from '@flex/base/testing';
import { loadModel, type TokenBatch } from '@flex/llama';
import { writeTinyModel } from '@flex/llama/testing';
import { adamw, lion, type Optimizer, sgd } from '@flex/optim';
import { flattenWeights, fourier, initLora, l2, resolveLora, resolveTargets } from '@flex/peft';
import { openReference, scope, size, type Tensor, tensor, uniform } from '@flex/tensor';
import { expectClose } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { type UpdateSetup, update } from './update.ts';

const backend = openReference();
const config = { rank: 2, alpha: 2, dropout: 0, targets: ['gate_proj'], scaling: 'alpha/r' } as const;

/** A tiny model, and an adapter of it that does something. */
async function setUp() {
  const dir = join(temporaryFolder(), 'model');
  writeTinyModel(dir);
  const model = await loadModel(backend, dir, { dtype: 'f32' });
  const fresh = initLora(backend, config, resolveTargets(config.targets, model.linears), 0);
  const drawn = (t: Tensor) => uniform(size(t.shape), { key: [1, size(t.shape)] }).map((u) => u - 0.4);
  return { model, params: mapTree((t) => tensor(backend, drawn(t), t.shape), fresh) };
}
type Start = Awaited<ReturnType<typeof setUp>>;

const input_ids = Int32Array.of(1, 2, 3, 4, 5, 6);
const batches: TokenBatch[] = [{ b: 1, t: 6, input_ids, labels: input_ids }];
const lr = 0.1;

/** The adapter after one update, and the gradient's norm. */
async function after({ model, params }: Start, optimizer: Optimizer, more: Partial<UpdateSetup> = {}) {
  const setup: UpdateSetup = {
    model,
    lora: resolveLora(config, params),
    optimizer,
    regularizers: [],
    maxGradNorm: null,
    checkpointActivations: 0,
    seed: 0,
    gradAccumulation: 1,
    ...more,
  };
  const weights = { params, whole: new Map() };
  const state = optimizer.init(flattenWeights(weights));
  const made = scope(() => update(setup, { ...weights, state, batches, step: 1, lr }));
  const numbers = new Map<string, number[]>();
  for (const [name, t] of flattenWeights(made)) numbers.set(name, [...(await t.data())]);
  return { numbers, norm: await made.gradNorm.item() };
}
const all = (numbers: ReadonlyMap<string, number[]>) => [...numbers.values()].flat();
const of = (enters: 'loss' | 'decoupled', regularizer = l2(), lambda = 0.3) => ({
  regularizers: [{ label: 'p', title: 'regularizer "p"', regularizer, lambda, enters }],
});

test('a decoupled penalty moves by −lr·λ·∇L, whatever the optimizer and the clipping make of the loss', async () => {
  const start = await setUp();
  const pull = flattenWeights({
    params: grad((at) => fourier().penalty(at, 1), start.params),
    whole: new Map(),
  });
  for (const optimizer of [adamw(), lion()]) {
    const more = { maxGradNorm: 0.01 };
    const [without, with_] = [
      await after(start, optimizer, more),
      await after(start, optimizer, { ...more, ...of('decoupled', fourier()) }),
    ];
    expect(with_.norm).toBe(without.norm);
    for (const [name, g] of pull) {
      const step = [...(await g.data())].map((x) => -lr * 0.3 * x);
      const moved = with_.numbers.get(name)!.map((x, i) => x - without.numbers.get(name)![i]);
      expectClose(moved, step, 1e-12, name);
    }
  }
});

test('for plain descent without clipping both ways of entering are one, also at rates of their own', async () => {
  const [start, plain] = [await setUp(), sgd({ momentum: 0 })];
  for (const loraPlusRatio of [1, 4]) {
    const [inLoss, decoupled] = [
      await after(start, plain, { ...of('loss'), loraPlusRatio }),
      await after(start, plain, { ...of('decoupled'), loraPlusRatio }),
    ];
    expectClose(all(decoupled.numbers), all(inLoss.numbers), 1e-12);
    expect(inLoss.norm).not.toBeCloseTo(decoupled.norm, 3);
  }
});

test('decoupled L2 is decoupled weight decay of twice its λ, also at rates of their own', async () => {
  const start = await setUp();
  const free = await after(start, sgd({ momentum: 0 }), { loraPlusRatio: 4 });
  const decayed = await after(start, sgd({ momentum: 0, weightDecay: 0.6 }), { loraPlusRatio: 4 });
  const penalized = await after(start, sgd({ momentum: 0 }), { ...of('decoupled'), loraPlusRatio: 4 });
  expectClose(all(penalized.numbers), all(decayed.numbers), 1e-12);
  expect(Math.abs(all(decayed.numbers)[0] - all(free.numbers)[0])).toBeGreaterThan(1e-4);
});
