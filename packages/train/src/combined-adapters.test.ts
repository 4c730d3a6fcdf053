import { ConfigError } from '@flex/base';
import { openPeftCase, peftInputs } from '@flex/fixtures';
import { type CausalLM, forward, loadModel, logits } from '@flex/llama';
import {
  type Adapter,
  combineAdapters,
  openAdapter,
  resolveLora,
  type WeightedAdapter,
  withAdapter,
} from '@flex/peft';
import { openReference, scope, tensor } from '@flex/tensor';
import { describeEachBackend, relativeError } from '@flex/tensor/testing';
import { expect, test } from 'vitest';

const { input_ids } = peftInputs();

async function logitsWith(
  model: CausalLM,
  adapter: Pick<Adapter, 'params' | 'config'>,
): Promise<Float32Array> {
  const { params, config } = adapter;
  const adapted = withAdapter(model, { params, whole: new Map() }, resolveLora(config, params, model));
  const ids = tensor(model.backend, Int32Array.from(input_ids.flat()), [2, 7], 'i32');
  return Float32Array.from(await scope(() => logits(adapted, forward(adapted, ids))).data());
}

const open = (model: CausalLM, name: string) => openAdapter(model, openPeftCase(name).dir);
const baseOf = (backend = openReference()) =>
  loadModel(backend, openPeftCase('two/one').model, { dtype: 'f32' });

const sums = {
  linear: { names: ['one', 'other'], weights: [0.7, 0.4] },
  cat: { names: ['one', 'other', 'wide'], weights: [0.7, 0.4, -0.5] },
} as const;

describeEachBackend((backend) => {
  test('each of two adapters on one model gives its own logits', async () => {
    const model = await baseOf(backend());
    const [one, other] = [await open(model, 'two/one'), await open(model, 'two/other')];
    const found = [await logitsWith(model, one), await logitsWith(model, other)];
    expect(relativeError(found[0], openPeftCase('two/one').logits)).toBeLessThan(1e-5);
    expect(relativeError(found[1], openPeftCase('two/other').logits)).toBeLessThan(1e-5);
  });

  test.each(['linear', 'cat'] as const)('%s is PEFT’s add_weighted_adapter', async (how) => {
    const model = await baseOf(backend());
    const { names, weights } = sums[how];
    const parts: WeightedAdapter[] = [];
    for (const [i, name] of names.entries())
      parts.push({ adapter: await open(model, `two/${name}`), weight: weights[i] });
    const { logits } = openPeftCase(`two/${how}`);
    expect(relativeError(await logitsWith(model, combineAdapters(parts, how)), logits)).toBeLessThan(1e-5);
  });
});

test('an adapter of the embedding and lm_head alone is its own sum, and taken off itself nothing', async () => {
  const model = await baseOf();
  for (const name of ['embedding', 'head', 'patterns']) {
    const adapter = await open(model, name);
    const { logits } = openPeftCase(name);
    expect(
      relativeError(await logitsWith(model, combineAdapters([{ adapter, weight: 1 }])), logits),
    ).toBeLessThan(1e-5);
    const none = combineAdapters([
      { adapter, weight: 1 },
      { adapter, weight: -1 },
    ]);
    const plain = await logitsWith(model, { params: new Map(), config: adapter.config });
    expect(relativeError(await logitsWith(model, none), plain)).toBeLessThan(1e-6);
  }
});

test.each([
  ['dora', 'adapter 2 of the sum: has DoRA; only W + s·B·A can be summed'],
  ['lora-bias', 'adapter 2 of the sum: has a bias of B'],
  ['saved-norms', 'adapter 2 of the sum: has model.layers.0.input_layernorm.weight, which it replaces'],
  ['tokens', 'adapter 2 of the sum: has model.embed_tokens.tokens, which it replaces'],
])('%s cannot be summed', async (name, message) => {
  const model = await baseOf();
  const parts = [await open(model, 'two/one'), await open(model, name)].map((adapter) => ({
    adapter,
    weight: 1,
  }));
  expect(() => combineAdapters(parts)).toThrow(ConfigError);
  expect(() => combineAdapters(parts)).toThrow(message);
});

test('linear needs equal ranks', async () => {
  const model = await baseOf();
  const parts = [await open(model, 'two/one'), await open(model, 'two/wide')].map((adapter) => ({
    adapter,
    weight: 1,
  }));
  expect(() => combineAdapters(parts, 'linear')).toThrow('linear needs equal ranks, they are 2, 3; take cat');
  expect(() => combineAdapters([])).toThrow('a sum needs at least one');
});
