import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@flex/base';
import { describeShared, shared } from '@flex/fixtures';
import { type Backend, openReference, openWasm } from '@flex/tensor';
import { describeEachBackend, deviceBackends } from '@flex/tensor/testing';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GenerateRequest } from './decoder.ts';
import { generate, generateAll } from './generate.ts';
import { type CausalLM, loadModel } from './model.ts';
import { newSlots } from './slots.ts';
import { writeTinyModel } from './testing/tiny-model.ts';
import { openTokenizer } from './tokenizer/open-tokenizer.ts';

const micro = 'models/micro';
const source = 'def add(a, b):\n    """Adds two numbers."""\n    return a + b\n\n\ndef sub(a, b):\n';

describeShared(micro, 'many prompts decoded together', () => {
  const tokenizer = openTokenizer(shared(micro));
  const ids = tokenizer.encode(source.repeat(6));

  describeEachBackend(
    (backend: () => Backend) => {
      let model: CausalLM;
      beforeEach(async () => {
        model = await loadModel(backend(), shared(micro), { dtype: 'f16' });
      });
      afterEach(() => model.dispose());

      /** Requests of every kind and length; some prompts are longer than a block of the cache. */
      const requests = (): GenerateRequest[] =>
        [1, 70, 3, 40, 64, 9, 120, 2].map((length, i) => ({
          prompt: ids.slice(i, i + length),
          maxNewTokens: [20, 5, 33, 1, 12, 26, 8, 17][i],
          temperature: i % 2 ? 0.8 : 0,
          topP: i % 3 ? undefined : 0.9,
          topK: i % 4 === 3 ? 20 : undefined,
          seed: i,
          stop: i % 2 ? ['\n\n'] : [],
          tokenizer,
        }));

      test('give what each of them gives alone', async () => {
        const alone = [];
        for (const { prompt, ...options } of requests()) alone.push(await generate(model, prompt, options));
        const told: unknown[] = [];
        const onCompletion = (index: number, completion: unknown) => {
          told[index] = completion;
        };
        expect(await generateAll(model, requests(), { batchSize: 3, onCompletion })).toEqual(alone);
        expect(told).toEqual(alone);
        expect(new Set(alone.map(({ finish }) => finish)).size).toBeGreaterThan(1);
      });

      test('have the same logits, to the last bit, whatever the other slots hold', async () => {
        const prompt = ids.slice(0, 30);
        const follow = [7, 300, 12];
        /** The logits of slot 2, with other texts around it or without. */
        const logitsOf = async (others: readonly (readonly number[])[]) => {
          const slots = newSlots(model, 4);
          if (others.length > 0) {
            await slots.fill(2, ids.slice(10, 90));
            await slots.step(new Map([[2, 5]]));
          }
          const rows = [await slots.fill(2, prompt)];
          for (const [i, other] of others.entries()) await slots.fill([0, 1, 3][i], other);
          for (const token of follow) {
            const tokens = others.map((_, i): [number, number] => [[0, 1, 3][i], 9 + i]);
            rows.push((await slots.step(new Map([...tokens, [2, token]]))).get(2)!);
          }
          slots.dispose();
          return rows;
        };
        const alone = await logitsOf([]);
        expect(await logitsOf([ids.slice(3, 5), ids.slice(0, 100), ids.slice(0, 61)])).toEqual(alone);
      });

      test('have the same logits, to the last bit, in the slot of another text that they go on in', async () => {
        const start = ids.slice(0, 66);
        const prompts = [
          [...start, 5, 6],
          [...start, 5],
          [...start, 7, 8, 9],
        ];
        /** Slot i holds prompt from[i] and the token that followed it. */
        const logitsOf = async (from: readonly number[], reordered: boolean) => {
          const slots = newSlots(model, 4);
          const held = reordered ? [0, 1, 2] : from;
          for (const [slot, i] of held.entries()) await slots.fill(slot, prompts[i]);
          await slots.step(new Map(held.map((i, slot) => [slot, 11 + i])));
          if (reordered) slots.reorder(from);
          const rows = await slots.step(new Map(from.map((_, slot) => [slot, 20 + slot])));
          slots.dispose();
          return rows;
        };
        for (const from of [
          [1, 2, 0],
          [2, 2, 2],
          [0, 1, 2],
          [0, 0],
        ]) {
          expect(await logitsOf(from, true)).toEqual(await logitsOf(from, false));
        }
      });

      test('free every tensor they made', async () => {
        await generateAll(model, requests().slice(1, 2), { batchSize: 2 });
        const { liveBytes } = backend().stats;
        await generateAll(model, requests().slice(0, 5), { batchSize: 2 });
        expect(backend().stats.liveBytes).toBe(liveBytes);
      });

      test('stop between two tokens when they are told to', async () => {
        const controller = new AbortController();
        const all = generateAll(model, requests(), { batchSize: 2, signal: controller.signal });
        controller.abort(new Error('enough'));
        await expect(all).rejects.toThrow('enough');
      });
    },
    deviceBackends.filter(({ label }) => label !== 'gpu.js cpu'),
  );

  test('refuse a batch of no size, and what `generate` refuses', async () => {
    const model = await loadModel(openWasm(), shared(micro), { dtype: 'f16' });
    const all = (prompt: number[], maxNewTokens: number, batchSize = 2) =>
      generateAll(
        model,
        [
          { prompt: [1], maxNewTokens: 1 },
          { prompt, maxNewTokens },
        ],
        { batchSize },
      );
    for (const batchSize of [0, -1, 1.5, Number.NaN]) {
      await expect(all([1], 1, batchSize)).rejects.toThrow(ConfigError);
    }
    await expect(all([1], 0)).rejects.toThrow(ConfigError);
    await expect(all([], 1)).rejects.toThrow('the prompt has no token');
    await expect(all([5000], 1)).rejects.toThrow('not in the vocabulary of 2048');
    await expect(generateAll(model, [], { batchSize: 2 })).resolves.toEqual([]);
    model.dispose();
  });
});

describe('logits that are not finite', () => {
  const dir = mkdtempSync(join(tmpdir(), 'flex-generate-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  test.each([Number.NaN, Infinity])(
    'stop every way of generating at the first, %s, and leave nothing',
    async (value) => {
      writeTinyModel(dir, {}, (tensors) => tensors.get('lm_head.weight')!.fill(value, 3 * 8, 4 * 8));
      const backend = openReference();
      const model = await loadModel(backend, dir, { dtype: 'f32' });
      model.rope(1);
      const { liveBytes } = backend.stats;
      const message = /^the logit of token 3 is (NaN|-?Infinity) at new token 1: /;
      const options = { maxNewTokens: 4 };
      await expect(generate(model, [1, 2], options)).rejects.toThrow(message);
      await expect(generate(model, [1, 2], { ...options, temperature: 1 })).rejects.toThrow(message);
      await expect(generate(model, [1, 2], { ...options, numBeams: 2 })).rejects.toThrow(message);
      const requests = [{ prompt: [1, 2], ...options }];
      await expect(generateAll(model, requests, { batchSize: 2 })).rejects.toThrow(message);
      expect(backend.stats.liveBytes).toBe(liveBytes);
      model.dispose();
    },
  );

  test('are told where they first come', async () => {
    const backend = openReference();
    const run = async (edit?: Parameters<typeof writeTinyModel>[2]) => {
      writeTinyModel(dir, {}, edit);
      const model = await loadModel(backend, dir, { dtype: 'f32' });
      return await generate(model, [1, 2], { maxNewTokens: 4 }).finally(() => model.dispose());
    };
    const first = (await run()).ids[0];
    expect([1, 2]).not.toContain(first);
    const all = run((tensors) => {
      tensors.get('model.embed_tokens.weight')!.fill(Number.NaN, first * 8, (first + 1) * 8);
    });
    await expect(all).rejects.toThrow(/^the logit of token 0 is NaN at new token 2: /);
  });
});
