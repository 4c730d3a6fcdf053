import { join } from 'node:path';
import { grad, hvp, sumAtOnce, treeLeaves, valueAndGrad } from '@flex/autograd';
import { temporaryFolder } from '@flex/base/testing';
import {
  type CausalLM,
  forward,
  type LossOptions,
  loadModel,
  logits,
  lossSum,
  type TokenBatch,
  tokenLosses,
} from '@flex/llama';
import { writeTinyModel } from '@flex/llama/testing';
import {
  type Backend,
  categorical,
  crossEntropy,
  gather,
  matmul,
  openReference,
  reshape,
  sum,
  type Tensor,
  tensor,
  uniform,
} from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, test } from 'vitest';

// 20 rows of 16 tokens, of which all but the first and one more are scored: 299, two pieces of logits.
const [b, t, v, e] = [20, 16, 10, 8];
const input_ids = Int32Array.from({ length: b * t }, (_, i) => (7 * i + (i >> 3)) % v);
const labels = input_ids.map((id, i) => (i === 37 ? -100 : id));
const batch: TokenBatch = { b, t, input_ids, labels };
const places = [...labels.keys()].filter((i) => i % t > 0 && labels[i] >= 0);

type Weights = Readonly<Record<'head' | 'up', Tensor>>;

const paths = { head: 'lm_head', up: 'model.layers.1.mlp.up_proj' } as const;

/** The model with these weights in place of its own. */
const withWeights = (model: CausalLM, { head, up }: Weights): CausalLM => ({
  ...model,
  linear(x, path) {
    const weight = path === paths.head ? head : path === paths.up ? up : undefined;
    return weight ? matmul(x, weight, { transposeB: true }) : model.linear(x, path);
  },
});

/** The loss by all logits at once. */
function wholeLoss(model: CausalLM, labelsOf?: (logits: Tensor) => Tensor): Tensor {
  const ints = (numbers: Iterable<number>, shape: number[]) =>
    tensor(model.backend, Int32Array.from(numbers), shape, 'i32');
  const hidden = reshape(forward(model, ints(input_ids, [b, t])), [b * t, e]);
  const before = ints(
    places.map((i) => i - 1),
    [places.length],
  );
  const all = logits(model, gather(hidden, before));
  const own = ints(
    places.map((i) => labels[i]),
    [places.length],
  );
  return sum(crossEntropy(all, labelsOf?.(all) ?? own));
}

async function setUp(backend: Backend) {
  const dir = join(temporaryFolder(), 'model');
  writeTinyModel(dir);
  const model = await loadModel(backend, dir, { dtype: 'f32' });
  const at = {
    head: model.weights.get(`${paths.head}.weight`)!,
    up: model.weights.get(`${paths.up}.weight`)!,
  };
  return { model, at };
}

const options: LossOptions = { sumOf: sumAtOnce };
const numbersOf = async (value: Parameters<typeof treeLeaves>[0]) =>
  (await Promise.all(treeLeaves(value).map(async (x) => [...(await x.data())]))).flat();

describeEachBackend((backend) => {
  const tolerance = () => (backend().name === 'reference' ? 1e-12 : 2e-5);

  test('the loss in pieces is that of all logits at once, with its gradient, also in the vocabulary’s matrix', async () => {
    const { model, at } = await setUp(backend());
    const got = valueAndGrad((w: Weights) => lossSum(withWeights(model, w), batch, options), at);
    const want = valueAndGrad((w: Weights) => wholeLoss(withWeights(model, w)), at);
    expectClose(
      await numbersOf([got.value, got.grads]),
      await numbersOf([want.value, want.grads]),
      tolerance(),
    );
    const losses = [...(await tokenLosses(model, batch).data())];
    expect(losses.length).toBe(places.length);
    expectClose([losses.reduce((total, x) => total + x, 0)], await numbersOf([want.value]), tolerance());
  });

  test('labels that are drawn from the logits are those of all logits at once', async () => {
    const { model, at } = await setUp(backend());
    const draw = { key: [1, 2], counter: [3, 0] } as const;
    const labelsOf = (logits: Tensor, firstRow: number) => categorical(logits, { ...draw, firstRow });
    const got = grad((w: Weights) => lossSum(withWeights(model, w), batch, { ...options, labelsOf }), at);
    const want = grad((w: Weights) => wholeLoss(withWeights(model, w), (all) => categorical(all, draw)), at);
    expectClose(await numbersOf(got), await numbersOf(want), tolerance());
  });
});

test('so is the product of its Hessian with a vector', async () => {
  const { model, at } = await setUp(openReference());
  const direction = (x: Tensor, key: number) =>
    tensor(x.backend, uniform(x.shape[0] * x.shape[1], { key: [5, key] }), x.shape);
  const along = { head: direction(at.head, 1), up: direction(at.up, 2) };
  const got = hvp((w: Weights) => lossSum(withWeights(model, w), batch, options), at, along);
  const want = hvp((w: Weights) => wholeLoss(withWeights(model, w)), at, along);
  expectClose(await numbersOf(got), await numbersOf(want), 1e-11);
});
