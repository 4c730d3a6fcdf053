import { grad } from '@flex/autograd';
import { ConfigError } from '@flex/base';
import { describeShared } from '@flex/fixtures';
import {
  add,
  eachTensor,
  openReference,
  ShapeError,
  scope,
  square,
  sum,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { describeEachBackend } from '@flex/tensor/testing';
import { expect, it } from 'vitest';
import { adamw } from './adamw.ts';
import type { OptimizerState } from './optimizer.ts';
import { checkOptimizer } from './testing/index.ts';
import { errorOnRecorded, readRecorded, recordedPath } from './testing/recorded.ts';

describeShared(recordedPath, 'on recorded gradients', () => {
  describeEachBackend((backend) => {
    it("equals torch's after each of 15 updates", async () => {
      const { lr, betas, eps, weight_decay: weightDecay } = readRecorded().adamw;
      const optimizer = adamw({ lr, betas, eps, weightDecay });
      expect(await errorOnRecorded(backend(), 'adamw', optimizer)).toBeLessThan(1e-6);
    });
  });
});

describeEachBackend((backend) => {
  it('takes one dispatch a parameter, and its kernels are compiled once', async () => {
    const optimizer = adamw();
    const counts: [number, number][] = [];
    for (const [step, length] of [8, 8, 12, 500].entries()) {
      const p = new Map([['p', tensor(backend(), new Float32Array(length).fill(1), [length])]]);
      const state = optimizer.init(p);
      const { dispatches } = backend().stats;
      const after = optimizer.update(p, state, p, { step: step + 1, lr: 0.1 / (step + 1) });
      await after.params.get('p')?.data();
      counts.push([backend().stats.dispatches - dispatches, backend().stats.pipelines]);
    }
    expect(counts.map(([dispatches]) => dispatches)).toEqual([1, 1, 1, 1]);
    expect(new Set(counts.map(([, pipelines]) => pipelines)).size).toBe(1);
  });

  it('keeps the contract of optimizers', async () => {
    await checkOptimizer(adamw({ lr: 0.05, weightDecay: 0.1 }), backend());
  });
});

it('memory stays flat over updates whose old tensors are freed', () => {
  const backend = openReference();
  const optimizer = adamw({ lr: 0.01 });
  let params: ReadonlyMap<string, Tensor> = new Map([
    ['a', tensor(backend, [1, 2, 3], [3])],
    ['b', tensor(backend, [4], [1])],
  ]);
  let state = optimizer.init(params);
  const live = backend.stats.liveBytes;
  for (let step = 1; step <= 50; step++) {
    const after = scope(() => {
      const grads = grad((p) => [...p.values()].map((t) => sum(square(t))).reduce(add), params);
      return optimizer.update(grads, state, params, { step, lr: 0.01 });
    });
    eachTensor([params, state], (t) => t.dispose());
    ({ params, state } = after);
    expect(backend.stats.liveBytes).toBe(live);
  }
});

it('a gradient or a state that does not fit its parameter is refused by name', () => {
  const backend = openReference();
  const zeros = (n: number) => tensor(backend, new Float32Array(n), [n]);
  const optimizer = adamw();
  const params = new Map([['a', zeros(3)]]);
  const state = optimizer.init(params);
  const info = { step: 1, lr: 1 };
  const update = (grads: Map<string, Tensor>, s: OptimizerState) => () =>
    optimizer.update(grads, s, params, info);
  expect(update(new Map(), state)).toThrow(new ShapeError('adamw: there is no gradient for a, f32[3]'));
  expect(update(new Map([['a', zeros(2)]]), state)).toThrow(
    'adamw: the gradient of a must be f32[3], got f32[2]',
  );
  const lacking = new Map([['m.a', zeros(3)]]);
  expect(update(params, lacking)).toThrow('adamw: its state has no v.a; it is of other parameters');
  const foreign = new Map([
    ['m.a', zeros(4)],
    ['v.a', zeros(4)],
  ]);
  expect(update(params, foreign)).toThrow('adamw: its state m.a must be f32[3], got f32[4]');
});

it('options out of range are refused', () => {
  for (const wrong of [
    { lr: -1 },
    { lr: Number.NaN },
    { betas: [0.9, 1] as const },
    { eps: -1 },
    { weightDecay: -1 },
  ]) {
    expect(() => adamw(wrong), JSON.stringify(wrong)).toThrow(ConfigError);
  }
});
