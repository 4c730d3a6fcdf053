import { lion, type Optimizer, sgd, sophiaG } from '@flex/optim';
import { type Adapters, flattenAdapters, type Regularizer } from '@flex/peft';
import {
  add,
  type Backend,
  cast,
  exp,
  full,
  log,
  mul,
  neg,
  softmax,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { describeEachBackend, deviceBackends, referenceBackend } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { makeUpdate } from './make-update.ts';
import { tinyRun } from './testing/tiny-run.ts';
import type { UpdateSetup } from './update.ts';

const devices = deviceBackends.filter(({ label }) => label === 'wasm' || label === '[webgpu]');
const [gateA, gateB] = ['A', 'B'].map(
  (of) => `base_model.model.model.layers.0.mlp.gate_proj.lora_${of}.weight`,
);
const aOf = (adapters: Adapters): Tensor => [...adapters.values()][0].a;

interface Spoilt {
  readonly step?: number;
  readonly edit?: (tensors: Map<string, Float32Array>) => void;
  readonly spoil?: (run: Awaited<ReturnType<typeof tinyRun>>) => void;
}

/** What update `step` of a tiny run fails with; its parameters are then those before it, and nothing leaks. */
const failureOn = (backend: () => Backend) =>
  async function failure(setup: Partial<UpdateSetup>, { step = 1, edit, spoil }: Spoilt = {}) {
    const run = await tinyRun(setup, { backend: backend(), edit });
    for (let made = 1; made < step; made++) await makeUpdate(run, made);
    spoil?.(run);
    const { params } = run.trainee;
    const before = new Map(flattenAdapters(params));
    const message = await makeUpdate(run, step).then(
      () => null,
      (error: Error) => error.message,
    );
    if (message === null) return 'no failure';
    expect(run.trainee.params).toBe(params);
    for (const t of before.values()) expect((await t.data()).every(Number.isFinite)).toBe(true);
    return message;
  };

/** A stranger's penalty. */
const by = (
  penalty: Regularizer['penalty'],
  more: { lambda?: number; enters?: 'loss' | 'decoupled' } = {},
) => ({
  regularizers: [
    {
      label: 'mine',
      title: 'regularizer "mine" (mine.ts)',
      lambda: 0.1,
      enters: 'loss' as const,
      regularizer: { penalty },
      ...more,
    },
  ],
});
const sixteen = (kind: string) => `16 of 16 numbers of f32[2, 8] are ${kind}`;

describeEachBackend(
  (backend: () => Backend) => {
    const failure = failureOn(backend);

    test('a regularizer that gives NaN at update 7', async () => {
      const setup = by((at, step) => sum(step === 7 ? log(neg(square(aOf(at)))) : aOf(at)));
      expect(await failure(setup, { step: 7 })).toBe(
        `update 7: the penalty of regularizer "mine" (mine.ts) is NaN: op "log", of ${gateA}, made the first: ${sixteen('NaN')}`,
      );
    });

    test('one that only watches', async () => {
      const setup = by((at) => sum(log(neg(square(aOf(at))))), { lambda: 0 });
      expect(await failure(setup)).toMatch(
        /^update 1: the penalty of regularizer "mine" \(mine\.ts\) is NaN: op "log"/,
      );
    });

    test('one of which the gradient alone is NaN, in the backward pass', async () => {
      expect(await failure(by((at) => sqrt(sum(mul(aOf(at), 0)))))).toBe(
        `update 1: the gradient of regularizer "mine" (mine.ts) in ${gateA} is NaN: the gradient of op "mul", of ` +
          `${gateA}, made the first: ${sixteen('NaN')}, from infinities: the gradient of op "sqrt", of ${gateA}, ` +
          'made them: 1 of 1 numbers of f32[] are infinite',
      );
    });

    test('numbers that the host wrote', async () => {
      const setup = by((at) => sum(mul(aOf(at), tensor(backend(), [1, Number.NaN], [2, 1]))));
      expect(await failure(setup)).toBe(
        'update 1: the penalty of regularizer "mine" (mine.ts) is NaN: 1 of 2 numbers of f32[2, 1] are NaN as the ' +
          'host wrote them',
      );
    });

    test('a mask of −∞ is not blamed for what comes of something else, and is where it covers all', async () => {
      const masked = (at: Adapters, from: number) => {
        const mask = Array.from({ length: 8 }, (_, i) => (i < from ? 0 : Number.NEGATIVE_INFINITY));
        return sum(square(softmax(add(aOf(at), tensor(backend(), mask, [8])))));
      };
      expect(await failure(by((at) => masked(at, 1)))).toBe('no failure');
      const beside = by((at) => add(masked(at, 1), sum(log(neg(square(aOf(at)))))));
      expect(await failure(beside)).toContain(
        `is NaN: op "log", of ${gateA}, made the first: ${sixteen('NaN')}`,
      );
      expect(await failure(by((at) => masked(at, 0)))).toMatch(
        /is NaN: op "softmax", of .*: .* are NaN, from infinities: 8 of 8 numbers .* as the host wrote them$/,
      );
    });

    test('an infinity that became NaN is named with the op that made it', async () => {
      const setup = by((at) => {
        const large = exp(mul(square(aOf(at)), 1e6));
        return sum(sub(large, large));
      });
      expect(await failure(setup)).toContain(
        `is NaN: op "sub", of ${gateA}, made the first: ${sixteen('NaN')}, from infinities: op "exp", of ${gateA}, ` +
          `made them: ${sixteen('infinite')}`,
      );
    });

    test("a number in the model's weights, also where layers are recomputed", async () => {
      const weight = 'model.layers.1.mlp.up_proj.weight';
      const edit = (tensors: Map<string, Float32Array>) => tensors.get(weight)!.set([Number.NaN], 3);
      for (const checkpointActivations of [0, 2]) {
        expect(await failure({ checkpointActivations }, { edit })).toBe(
          `update 1: the task's loss is NaN: 1 of 96 numbers of f32[12, 8] are NaN in the model's ${weight}`,
        );
      }
    });

    test("the optimizer's state alone", async () => {
      const key = 'm.model.layers.0.mlp.gate_proj.b';
      const spoil = ({ trainee }: Awaited<ReturnType<typeof tinyRun>>) => {
        const state = trainee.state as Map<string, Tensor>;
        state.set(key, full(backend(), state.get(key)!.shape, Number.NaN));
      };
      expect(await failure({}, { spoil, step: 3 })).toBe(
        `update 3: the optimizer's state m of ${gateB} is not finite, and computed once more without what it was ` +
          'before it is: the checkpoint that the run went on from, or the device, left it so',
      );
    });

    test("a NaN that the step's sign hides, and one in what the optimizer tells", async () => {
      const spoilt: Optimizer = {
        ...lion(),
        update: (grads, ...rest) =>
          lion().update(new Map([...grads].map(([name, g]) => [name, mul(g, Number.NaN)])), ...rest),
      };
      expect(await failure({ optimizer: spoilt })).toContain(
        `update 1: the optimizer's state m of ${gateA} is NaN: op "mul", of the gradient in ${gateA}, made the first`,
      );
      const telling: Optimizer = {
        ...sgd(),
        update: (grads, state, params, info) => ({
          ...sgd().update(grads, state, params, info),
          diagnostics: new Map([['mood', log(sub(mul(sum([...params.values()][0]), 0), 1))]]),
        }),
      };
      expect(await failure({ optimizer: telling })).toMatch(
        /^update 1: the optimizer's mood is NaN: op "log", of \S+lora_A.weight, made the first: /,
      );
    });

    test("the optimizer's step", async () => {
      const optimizer: Optimizer = {
        ...sgd(),
        update: (grads, state, params) => ({
          state,
          params: new Map([...params].map(([name, p]) => [name, sub(p, sqrt(sub(grads.get(name)!, 1e4)))])),
        }),
      };
      expect(await failure({ optimizer })).toBe(
        `update 1: after the optimizer's step ${gateA} is NaN: op "sqrt", of the gradient in ${gateA}, made the ` +
          `first: ${sixteen('NaN')}`,
      );
    });

    test('the estimate of the curvature, also where the step hides it', async () => {
      const curvature: Optimizer['curvature'] = {
        every: 1,
        estimate: ({ sampledGradient }) =>
          new Map([...sampledGradient()].map(([name, g]) => [name, log(sub(neg(square(g)), 1))])),
      };
      expect(await failure({ optimizer: { ...sophiaG(), curvature } })).toMatch(
        /^update 1: the estimate of the curvature in \S+lora_A.weight is NaN: op "log", of .*, made the first: /,
      );
    });
  },
  [referenceBackend, ...devices],
);

// The reference computes in f64, which holds more.
describeEachBackend((backend: () => Backend) => {
  const failure = failureOn(backend);

  test('what is beyond f16', async () => {
    expect(await failure(by((at) => sum(square(cast(cast(mul(aOf(at), 1e6), 'f16'), 'f32')))))).toBe(
      `update 1: the penalty of regularizer "mine" (mine.ts) is infinite: op "cast", of ${gateA}, made the first: ` +
        '16 of 16 numbers of f16[2, 8] are infinite, beyond 65504, the largest f16',
    );
  });

  test('a gradient whose norm f32 does not hold, by the term that it is of', async () => {
    expect(await failure(by((at) => sum(aOf(at)), { lambda: 1e30 }))).toBe(
      "update 1: the gradient's norm is infinite, as f32 holds no sum of its squares; its largest number is 1.0e+30 " +
        `in ${gateA}, most of it of regularizer "mine" (mine.ts)`,
    );
    expect(await failure({ optimizer: sgd({ lr: 1e25 }) }, { step: 2 })).toMatch(
      /^update 2: the .*loss.* op "/,
    );
  });

  test('a decoupled pull', async () => {
    const setup = by((at) => sum(aOf(at)), { lambda: 1e43, enters: 'decoupled' });
    expect(await failure(setup)).toMatch(
      /^update 1: after the optimizer's step \S+lora_A\.weight is infinite: op "addScaled", of .*, made the first: /,
    );
  });

  test('a gradient that overflows on its way back', async () => {
    // Of w to w·1e22 by way of numbers that f32 holds; the other way about by 1e60.
    const setup = by((at) => sum(mul(mul(mul(aOf(at), 1e-38), 1e30), 1e30)));
    expect(await failure(setup)).toBe(
      `update 1: the gradient of regularizer "mine" (mine.ts) in ${gateA} is infinite: the gradient of op "mul" made the first: ${sixteen('infinite')}`,
    );
  });
}, devices);
