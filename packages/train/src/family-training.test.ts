import { join } from 'node:path';
import { recompute, valueAndGrad } from '@flex/autograd';
import { temporaryFolder } from '@flex/base/testing';
import { type ForwardOptions, loadModel, lossSum, type TokenBatch } from '@flex/llama';
import { fabricateModel, sevenBillionConfigs } from '@flex/llama/testing';
import {
  type AdapterWeights,
  flattenWeights,
  initAdapter,
  initWhole,
  type LoraConfig,
  resolveLora,
  resolveTargets,
  withAdapter,
} from '@flex/peft';
import { openWasm } from '@flex/tensor';
import { relativeError } from '@flex/tensor/testing';
import { expect, test } from 'vitest';

const small = {
  ...{ hidden_size: 16, intermediate_size: 24, num_attention_heads: 2, num_key_value_heads: 2, head_dim: 8 },
  ...{ num_hidden_layers: 2, vocab_size: 400, sliding_window: 3 },
};
const lora: LoraConfig = {
  ...{ rank: 2, alpha: 4, dropout: 0, scaling: 'alpha/r', init: 'random' },
  ...{ targets: 'all-linear', bias: 'all', modulesToSave: ['model.norm', 'input_layernorm'] },
};
const models = Object.keys(sevenBillionConfigs) as (keyof typeof sevenBillionConfigs)[];

const documents = [
  [1, 300, 7, 12, 390, 4, 9],
  [1, 5, 5, 301, 8],
];
/** The documents in a row each, behind which are zeros. */
const apart: TokenBatch = rows(documents);
/** The same in one row. */
const packed: TokenBatch = {
  ...rows([documents.flat()]),
  labels: Int32Array.from(documents.flatMap((ids) => [-100, ...ids.slice(1)])),
  starts: Int32Array.from(documents.flatMap((ids, i) => ids.map(() => (i === 0 ? 0 : documents[0].length)))),
};

function rows(texts: readonly (readonly number[])[]): TokenBatch {
  const t = Math.max(...texts.map(({ length }) => length));
  const all = (rest: number) =>
    Int32Array.from(texts.flatMap((ids) => [...ids, ...Array(t - ids.length).fill(rest)]));
  return { b: texts.length, t, input_ids: all(0), labels: all(-100) };
}

test.each(models)(
  'as wide as %s: layers computed again give the same bits, packed documents the same',
  async (model) => {
    const dir = join(temporaryFolder(), 'model');
    fabricateModel(dir, { model, dtype: 'F32', config: small });
    const base = await loadModel(openWasm(), dir, { dtype: 'f32' });
    const targets = resolveTargets(lora.targets, base.linears);
    const { params } = await initAdapter(base, lora, targets, 3);
    const whole = initWhole(lora, base.weights, [...targets.keys()]);
    const resolved = resolveLora(lora, params, base);
    const trained: AdapterWeights = { params, whole };
    const gradients = async (batch: TokenBatch, options: ForwardOptions = {}) => {
      const loss = (weights: AdapterWeights) => lossSum(withAdapter(base, weights, resolved), batch, options);
      const { value, grads } = valueAndGrad(loss, trained);
      const each = [...flattenWeights(grads)].map(
        async ([name, g]) => [name, Float32Array.from(await g.data())] as const,
      );
      return { loss: await value.item(), grads: new Map(await Promise.all(each)) };
    };
    const kept = await gradients(apart);
    expect([...kept.grads.values()].every((g) => g.some((x) => x !== 0))).toBe(true);
    expect(await gradients(apart, { runLayer: (layer) => recompute(layer) })).toEqual(kept);
    const together = await gradients(packed);
    expect(together.loss / kept.loss).toBeCloseTo(1, 6);
    for (const [name, g] of kept.grads)
      expect(relativeError(together.grads.get(name)!, g), name).toBeLessThan(1e-4);
    base.dispose();
  },
);
