import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Backend, scope, slice, tensor } from '@flex/tensor';
import { describeEachBackend } from '@flex/tensor/testing';
import { afterAll, expect, test } from 'vitest';
import { documentsPast } from './documents-past.ts';
import { type CausalLM, forward, loadModel, logits } from './model.ts';
import { causalPast, type Past } from './past.ts';
import { newSlots } from './slots.ts';
import { writeTinyModel } from './testing/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'flex-past-'));
afterAll(() => rmSync(folder, { recursive: true }));
const dir = join(folder, 'model');
writeTinyModel(dir, { ...{ model_type: 'mistral', num_key_value_heads: 2, sliding_window: 3 } });

/** Its first layer has a window, its second none. */
async function open(backend: Backend): Promise<CausalLM> {
  const model = await loadModel(backend, dir, { dtype: 'f32' });
  return { ...model, config: { ...model.config, windows: [3, null], cachedWindows: [3, null] } };
}

const text = [3, 1, 4, 1, 5, 9, 2, 6, 5];

/** Which of the tokens before and at each one change what a layer's attention gives at it. */
async function influences(model: CausalLM, past: Past, layer: number, t: number): Promise<boolean[][]> {
  const { heads, kvHeads, headDim } = model.config;
  const numbers = (h: number, moved: number) =>
    tensor(
      model.backend,
      Float32Array.from(
        { length: t * h * headDim },
        (_, i) => Math.sin(i) + Number(Math.floor(i / (h * headDim)) === moved),
      ),
      [1, t, h, headDim],
    );
  const given = async (moved: number) => {
    const result = scope(() =>
      past.attend(layer, numbers(heads, -1), { k: numbers(kvHeads, -1), v: numbers(kvHeads, moved) }),
    );
    return Float32Array.from(await result.data());
  };
  const before = await given(-1);
  const moved = await Promise.all(Array.from({ length: t }, (_, token) => given(token)));
  const width = heads * headDim;
  const isSame = (one: Float32Array, i: number) =>
    one.subarray(i * width, (i + 1) * width).every((x, j) => x === before[i * width + j]);
  return Array.from({ length: t }, (_, i) => moved.map((one) => !isSame(one, i)));
}

describeEachBackend((backend) => {
  test('a token sees the last of those up to itself in a layer with a window, and all in another', async () => {
    const model = await open(backend());
    const t = 6;
    const starts = Int32Array.of(0, 0, 2, 2, 2, 2);
    for (const [past, first] of [
      [causalPast(model, [1, t]), (_: number) => 0],
      [documentsPast(model, starts, [1, t]), (i: number) => starts[i]],
    ] as const) {
      for (const [layer, window] of [3, Infinity].entries()) {
        const expected = Array.from({ length: t }, (_, i) =>
          Array.from({ length: t }, (_, j) => j <= i && j >= first(i) && j > i - window),
        );
        expect(await influences(model, past, layer, t)).toEqual(expected);
      }
    }
    model.dispose();
  });

  test('a text has the same logits step by step, and as one document among others, within rounding', async () => {
    const model = await open(backend());
    const all = async (ids: readonly number[], starts?: Int32Array) => {
      const rows = scope(() => {
        const past = starts && documentsPast(model, starts, [1, ids.length]);
        const hidden = forward(model, tensor(backend(), Int32Array.from(ids), [1, ids.length], 'i32'), {
          past,
        });
        return logits(model, slice(hidden, [0, 0, 0], [1, ids.length, 8]));
      });
      const values = await rows.data();
      return Array.from(ids, (_, i) => [...values.subarray(i * 10, (i + 1) * 10)]);
    };
    const expected = await all(text);
    const close = (found: ArrayLike<number>, i: number) =>
      expected[i].forEach(
        (x, k) => void expect(Math.abs(found[k] - x), `token ${i}`).toBeLessThan(2e-5 * 30),
      );
    const slots = newSlots(model, 2);
    close(await slots.fill(1, text.slice(0, 2)), 1);
    await slots.fill(0, text.slice(3, 8));
    for (let i = 2; i < text.length; i++) close((await slots.step(new Map([[1, text[i]]]))).get(1)!, i);
    slots.dispose();
    const before = [7, 7, 7, 7];
    const starts = Int32Array.from([...before.map(() => 0), ...text.map(() => before.length)]);
    const packed = (await all([...before, ...text], starts)).slice(before.length);
    packed.forEach(close);
    model.dispose();
  });
});
