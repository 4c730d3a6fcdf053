import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Backend, reshape, scope, slice, type Tensor, tensor } from '@flex/tensor';
import { describeEachBackend, deviceBackends } from '@flex/tensor/testing';
import { afterAll, expect, test } from 'vitest';
import { newDecoder, tokensAStep } from './decoder.ts';
import { type CausalLM, forward, loadModel, logits } from './model.ts';
import { newSlots, pieceTokens } from './slots.ts';
import { writeTinyModel } from './testing/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'flex-pieces-'));
afterAll(() => rmSync(folder, { recursive: true }));
const room = { max_position_embeddings: 2048 };
writeTinyModel(join(folder, 'whole'), room);
// Rows that can be quantized.
writeTinyModel(join(folder, 'wide'), { ...room, intermediate_size: 16 });
const windows = { model_type: 'mistral', num_key_value_heads: 2, sliding_window: 100 };
writeTinyModel(join(folder, 'windows'), { ...room, ...windows });
const dynamic = { max_position_embeddings: 100, rope_scaling: { rope_type: 'dynamic', factor: 2 } };
writeTinyModel(join(folder, 'dynamic'), dynamic);

const idsOf = (t: number) => Array.from({ length: t }, (_, i) => (7 * i * i + 3 * i) % 10);

/** A model that tells how many tokens it is given at a time. */
function counted(model: CausalLM, rows: number[]): CausalLM {
  const embed = (ids: Tensor) => {
    rows.push(ids.shape[1]);
    return model.embed(ids);
  };
  return { ...model, embed };
}

/** The logits of all tokens of a text that is computed at once, 64 rows together as a prompt's are. */
async function logitsAtOnce(model: CausalLM, ids: readonly number[]): Promise<Float32Array[]> {
  const t = ids.length;
  const { hiddenSize, vocabSize } = model.config;
  const hidden = forward(model, tensor(model.backend, Int32Array.from(ids), [1, t], 'i32'));
  const rows: Float32Array[] = [];
  for (let from = 0; from < t; ) {
    const n = from === t - 1 ? 1 : Math.min(64, t - 1 - from);
    const made = scope(() =>
      logits(model, reshape(slice(hidden, [0, from, 0], [1, n, hiddenSize]), [n, hiddenSize])),
    );
    const values = Float32Array.from(await made.data());
    made.dispose();
    for (let row = 0; row < n; row++) rows.push(values.subarray(row * vocabSize, (row + 1) * vocabSize));
    from += n;
  }
  hidden.dispose();
  return rows;
}

describeEachBackend(
  (backend: () => Backend) => {
    test.each([
      ['whole', 'f32', null],
      ['whole', 'f16', null],
      ['wide', 'f16', 'int8'],
      ['wide', 'f16', 'nf4'],
      ['windows', 'f32', null],
      ['dynamic', 'f32', null],
    ] as const)(
      'a prompt in pieces has the logits of one at once, to the last bit: %s, %s, %s',
      async (...of) => {
        const [name, dtype, quantize] = of;
        const model = await loadModel(backend(), join(folder, name), { dtype, quantize });
        const slots = newSlots(model, 2);
        for (const [t, pieces] of [
          [pieceTokens + 63, [pieceTokens + 63]],
          [pieceTokens + 64, [pieceTokens, 64]],
          [2 * pieceTokens + 97, [pieceTokens, pieceTokens, 97]],
        ] as const) {
          const [ids, rows, told]: [number[], number[], Float32Array[]] = [idsOf(t), [], []];
          const read = slots.read(1, ids, {
            model: counted(model, rows),
            onLogits: (row) => told.push(Float32Array.from(row)),
          });
          let last: Float32Array | null = null;
          let tokens = 0;
          while (!last) {
            const piece = await read.next();
            last = piece.logits;
            tokens += piece.tokens;
            // The other slot goes on between two pieces.
            await slots.fill(0, [1, 2, 3]);
            await slots.step(new Map([[0, 4]]));
          }
          read.dispose();
          expect(rows).toEqual(pieces);
          expect(tokens).toBe(t);
          expect([...told, last]).toEqual(await logitsAtOnce(model, ids));
          // What stands in the cache is the whole prompt's, too.
          const [next] = (await slots.step(new Map([[1, 5]]))).values();
          const alone = newSlots(model, 2);
          await alone.fill(1, ids);
          expect(next).toEqual((await alone.step(new Map([[1, 5]]))).get(1));
          alone.dispose();
        }
        slots.dispose();
        model.dispose();
      },
    );
  },
  deviceBackends.filter(({ label }) => label !== 'gpu.js cpu'),
);

describeEachBackend(
  (backend: () => Backend) => {
    const long = idsOf(4 * pieceTokens);

    test('a running text has its next token after every two pieces of a prompt', async () => {
      const model = await loadModel(backend(), join(folder, 'whole'), { dtype: 'f32' });
      const rows: number[] = [];
      const decoder = newDecoder(counted(model, rows), 2);
      const running = decoder.submit({ prompt: [1], maxNewTokens: 12 });
      const read = decoder.submit({ prompt: long, maxNewTokens: 1 });
      await Promise.all([running, read]);
      // A step is of one token.
      const order = rows.map((t) => (t === pieceTokens ? 'piece' : 'step')).join(' ');
      expect(order).toContain('piece piece step piece piece step');
      await decoder.close();
      model.dispose();
    });

    test('short prompts are read together, up to so many tokens', async () => {
      const model = await loadModel(backend(), join(folder, 'whole'), { dtype: 'f32' });
      const rows: number[] = [];
      const decoder = newDecoder(counted(model, rows), 8);
      const size = tokensAStep / 4;
      const texts = Array.from({ length: 8 }, (_, i) =>
        decoder.submit({ prompt: [i, ...idsOf(size - 1)], maxNewTokens: 4 }),
      );
      await Promise.all(texts);
      expect(rows.slice(0, 10)).toEqual([size, size, size, size, 1, size, size, size, size, 1]);
      await decoder.close();
      model.dispose();
    });

    test('what a slot held is not copied from it once another prompt is begun there', async () => {
      const model = await loadModel(backend(), join(folder, 'whole'), { dtype: 'f32' });
      const held = [3, 1, 4, 1, 5];
      const slots = newSlots(model, 2);
      const expected = await slots.fill(1, held);
      const next = (await slots.step(new Map([[1, 2]]))).get(1);
      await slots.fill(1, [2, 7]);
      await slots.fill(0, held);
      const read = slots.read(0, long);
      await read.next();
      for (const slot of [1, 0]) {
        expect(await slots.fill(slot, held)).toEqual(expected);
        expect((await slots.step(new Map([[slot, 2]]))).get(slot)).toEqual(next);
        // It is given up, and nobody has the text any more.
        read.dispose();
        await slots.fill(1, [2, 7]);
      }
      slots.dispose();
      model.dispose();
    });

    test('a prompt that is given up between two pieces leaves its slot and nothing else', async () => {
      const before = backend().stats.liveBytes;
      const model = await loadModel(backend(), join(folder, 'whole'), { dtype: 'f32' });
      const rows: number[] = [];
      const controller = new AbortController();
      let isArmed = false;
      const pause = async () => {
        await new Promise(setImmediate);
        if (isArmed && rows.length === 2) controller.abort(new Error('gone'));
      };
      const decoder = newDecoder(counted(model, rows), 1, { pause });
      // The cache has its full size.
      await decoder.submit({ prompt: [3, ...long.slice(1)], maxNewTokens: 1 });
      rows.length = 0;
      isArmed = true;
      const { liveBytes } = model.backend.stats;
      const given = decoder.submit({ prompt: long, maxNewTokens: 1 }, { signal: controller.signal });
      const next = decoder.submit({ prompt: [1, 2], maxNewTokens: 1 });
      await expect(given).rejects.toThrow('gone');
      await next;
      expect(rows).toEqual([pieceTokens, pieceTokens, 2]);
      isArmed = false;
      expect(model.backend.stats.liveBytes).toBe(liveBytes);
      const closed = decoder.submit({ prompt: long, maxNewTokens: 1 });
      const failed = expect(closed).rejects.toThrow('the decoder is closed');
      while (rows.length < 4) await new Promise(setImmediate);
      await decoder.close();
      await failed;
      expect(rows.length).toBeLessThan(7);
      model.dispose();
      expect(backend().stats.liveBytes).toBe(before);
    });
  },
  deviceBackends.filter(({ label }) => label.startsWith('wasm')),
);
