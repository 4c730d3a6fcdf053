import { join } from 'node:path';
import { valueAndGrad } from '@flex/autograd';
import { loadModel, lossSum, type TokenBatch } from '@flex/llama';
import { type Adapters, flattenAdapters, initLora, resolveLora, resolveTargets, withLora } from '@flex/peft';
import { type Backend, normal, scope, size, type Tensor, tensor } from '@flex/tensor';
import { describeEachBackend, deviceBackends, referenceBackend, relativeError } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { collate } from './batches.ts';
import { type Example, UNSCORED } from './encode.ts';
import { packExamples } from './pack.ts';

const micro = join(import.meta.dirname, '../../../cli/assets/micro');

/** An example of tokens that follow from its number, the first third of them a prompt. */
function exampleOf(length: number, i: number): Example {
  const input_ids = Int32Array.from({ length }, (_, place) => 3 + ((place * 37 + i * 101) % 500));
  return {
    input_ids,
    labels: input_ids.map((id, place) => (place < 1 || place < length / 3 ? UNSCORED : id)),
    rows: [`rows:${i}`],
  };
}

const lawOn = (tolerance: number) => (backend: () => Backend) => {
  test('loss and gradients of packed examples are those of the examples by themselves', async () => {
    const model = await loadModel(backend(), micro, { dtype: 'f32' });
    const config = { rank: 2, alpha: 4, dropout: 0, targets: 'attention', scaling: 'alpha/r' } as const;
    const fresh = initLora(backend(), config, resolveTargets(config.targets, model.linears), 1);
    // Of b = 0, half of the gradients would be 0.
    const drawn = ({ shape }: Tensor, i: number) => {
      const values = normal(size(shape), { key: [7, i], counter: [0, 0] });
      return tensor(
        backend(),
        values.map((x) => x / 20),
        shape,
      );
    };
    const params: Adapters = new Map([...fresh].map(([path, { a, b }], i) => [path, { a, b: drawn(b, i) }]));
    const lora = resolveLora(config, params);
    const sums = async (batches: readonly TokenBatch[]) => {
      let loss = 0;
      const grads = new Map<string, Float64Array>();
      for (const batch of batches) {
        const found = scope(() =>
          valueAndGrad(
            (adapters) => lossSum({ ...model, linear: withLora(model.linear, adapters, lora) }, batch),
            params,
          ),
        );
        loss += await found.value.item();
        for (const [name, grad] of flattenAdapters(found.grads)) {
          const values = await grad.data();
          const sum = grads.get(name) ?? new Float64Array(values.length);
          grads.set(
            name,
            sum.map((x, i) => x + values[i]),
          );
        }
      }
      return { loss, grads };
    };
    const examples = [5, 7, 3, 2, 9].map(exampleOf);
    const packed = packExamples(examples, 10);
    expect(packed.map(({ input_ids }) => input_ids.length)).toEqual([7, 10, 9]);
    const alone = await sums(examples.map((example) => collate([example])));
    const together = await sums([collate(packed)]);
    expect(Math.abs(together.loss / alone.loss - 1)).toBeLessThan(tolerance);
    for (const [name, grad] of alone.grads) {
      expect(relativeError(together.grads.get(name)!, grad), name).toBeLessThan(tolerance);
    }
    model.dispose();
  });
};

describeEachBackend(lawOn(1e-10), [referenceBackend]);
describeEachBackend(
  lawOn(1e-5),
  deviceBackends.filter(({ label }) => label !== 'gpu.js cpu'),
);
