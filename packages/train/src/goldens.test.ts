import { valueAndGrad } from '@flex/autograd';
import { describeShared, type Golden, goldenModels, goldens, openGolden } from '@flex/fixtures';
import {
  type CausalLM,
  forward,
  generate,
  loadModel,
  logits,
  lossSum,
  scoredTokens,
  type TokenBatch,
} from '@flex/llama';
import { type Adapters, flattenAdapters, peftName, readAdapter, resolveLora, withAdapter } from '@flex/peft';
import { type Backend, eachTensor, scope, tensor } from '@flex/tensor';
import { describeEachBackend, deviceBackends, relativeError } from '@flex/tensor/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

interface Generations {
  readonly prompt: readonly number[];
  readonly greedy: readonly number[];
  readonly beam4: readonly number[];
}

/** The batch of a golden, and its attention mask. */
function inputsOf(golden: Golden): TokenBatch & { readonly mask: readonly number[] } {
  const { input_ids, attention_mask, labels } = golden.json<Record<string, number[][]>>('inputs.json');
  return {
    b: input_ids.length,
    t: input_ids[0].length,
    input_ids: Int32Array.from(input_ids.flat()),
    labels: Int32Array.from(labels.flat()),
    mask: attention_mask.flat(),
  };
}

async function logitsOf(model: CausalLM, golden: Golden): Promise<Float32Array> {
  const { b, t, input_ids, mask } = inputsOf(golden);
  const result = scope(() => {
    const hidden = forward(model, tensor(model.backend, input_ids, [b, t], 'i32'));
    return logits(model, hidden);
  });
  const values = Float32Array.from(await result.data());
  result.dispose();
  const v = model.config.vocabSize;
  mask.forEach((seen, i) => {
    if (!seen) values.fill(0, i * v, (i + 1) * v);
  });
  return values;
}

describeShared(goldens, 'a Llama equals PyTorch', () => {
  const devices = deviceBackends.filter(({ label }) => label !== 'gpu.js cpu');
  describeEachBackend((backend: () => Backend) => {
    describe.each(goldenModels)('%s', (name) => {
      const golden = openGolden(name);
      let model: CausalLM;
      let params: Adapters;
      let adapt: (params: Adapters) => CausalLM;
      let adapted: CausalLM;
      beforeEach(async () => {
        model = await loadModel(backend(), golden.path('model'), { dtype: 'f32' });
        const adapter = readAdapter(backend(), golden.path('adapter'), model);
        params = adapter.params;
        const lora = resolveLora(adapter.config, params);
        adapt = (at) => withAdapter(model, { params: at, whole: new Map() }, lora);
        adapted = adapt(params);
      });
      afterEach(() => {
        model.dispose();
        eachTensor(params, (t) => t.dispose());
      });

      test('logits, base and adapted, within 5e-5', async () => {
        const base = await logitsOf(model, golden);
        expect(relativeError(base, golden.tensors('logits.safetensors').get('logits')!.data)).toBeLessThan(
          5e-5,
        );
        const tuned = await logitsOf(adapted, golden);
        expect(
          relativeError(tuned, golden.tensors('adapter_logits.safetensors').get('logits')!.data),
        ).toBeLessThan(5e-5);
      });

      test('loss within 1e-5, LoRA gradients within 1e-3', async () => {
        const batch = inputsOf(golden);
        const count = scoredTokens(batch);
        const { value, grads } = valueAndGrad((at) => lossSum(adapt(at), batch), params);
        const { adapted: loss } = golden.json<{ adapted: number }>('loss.json');
        expect(Math.abs((await value.item()) / count - loss)).toBeLessThan(1e-5);
        const expected = golden.tensors('adapter_grads.safetensors');
        const tensors = new Map([...flattenAdapters(grads)].map(([name, g]) => [peftName(name), g]));
        expect([...tensors.keys()].sort()).toEqual([...expected.keys()].sort());
        for (const [key, g] of tensors) {
          const mean = Float32Array.from(await g.data(), (x) => x / count);
          expect(relativeError(mean, expected.get(key)!.data), key).toBeLessThan(1e-3);
          g.dispose();
        }
        value.dispose();
      });

      test('greedy and 4-beam continuations are the same ids', async () => {
        const expected = golden.json<Record<'base' | 'adapted', Generations[]>>('generate.json');
        for (const [kind, runs] of [
          ['base', model],
          ['adapted', adapted],
        ] as const) {
          for (const { prompt, greedy, beam4 } of expected[kind]) {
            const one = await generate(runs, prompt, { maxNewTokens: 24 });
            expect(one.ids, `${kind} greedy`).toEqual(greedy);
            const beams = await generate(runs, prompt, { maxNewTokens: 24, numBeams: 4 });
            expect(beams.ids, `${kind} beam`).toEqual(beam4);
          }
        }
      });
    });
  }, devices);
});
