import { describeShared, shared } from '@flex/fixtures';
import { type Backend, scope, tensor } from '@flex/tensor';
import { describeEachBackend, deviceBackends, relativeError } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { logitAgreement } from './logit-agreement.ts';
import { forward, loadModel, logits } from './model.ts';
import { newSlots } from './slots.ts';
import { openTokenizer } from './tokenizer/open-tokenizer.ts';
import type { WeightDType } from './weights.ts';

const micro = 'models/micro';
const source = 'def mean(values):\n    """The mean of values."""\n    return sum(values) / len(values)\n\n\n';

describeShared(micro, 'logits of tokens one by one, after a prompt', () => {
  const ids = openTokenizer(shared(micro)).encode(source.repeat(2));
  const start = 20;

  describeEachBackend(
    (backend: () => Backend) => {
      /** Those of the tokens from `start` on: one after the other, and of the whole text at once. */
      const both = async (dtype: WeightDType) => {
        const model = await loadModel(backend(), shared(micro), { dtype });
        const slots = newSlots(model, 1);
        const steps = [await slots.fill(0, ids.slice(0, start))];
        for (const id of ids.slice(start)) steps.push((await slots.step(new Map([[0, id]]))).get(0)!);
        slots.dispose();
        const whole = scope(() =>
          logits(model, forward(model, tensor(backend(), ids, [1, ids.length], 'i32'))),
        );
        const v = model.config.vocabSize;
        const expected = Float32Array.from(await whole.data()).subarray((start - 1) * v);
        whole.dispose();
        model.dispose();
        return { v, got: Float32Array.from(steps.flatMap((row) => [...row])), expected };
      };

      test('are those of the text at once, to rounding, where keys and values are f32', async () => {
        const { got, expected } = await both('f32');
        expect(relativeError(got, expected)).toBeLessThan(1e-5);
      });

      test('are nearly those where they are f16: 1e-3 off, no likeliest token another', async () => {
        const { v, got, expected } = await both('f16');
        expect(relativeError(got, expected)).toBeLessThan(1e-3);
        expect(relativeError(got, expected)).toBeGreaterThan(1e-6);
        const { klMax, sameGreedy } = logitAgreement([expected], [got], v);
        expect(klMax).toBeLessThan(1e-5);
        expect(sameGreedy).toBe(1);
      });
    },
    deviceBackends.filter(({ label }) => !label.startsWith('gpu.js')),
  );
});
