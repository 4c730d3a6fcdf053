import { type Backend, cast, matmul, tensor } from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, it } from 'vitest';
import type { Adapters } from './adapters.ts';
import { type LoraConfig, resolveLora, withLora } from './lora.ts';
import { mergedCheckpoint, withMergedLora } from './merge.ts';
import { weightChanges } from './weight-changes.ts';
import type { WeightFiles } from './weight-files.ts';

const config: LoraConfig = { rank: 2, alpha: 6, dropout: 0.5, targets: 'mlp', scaling: 'alpha/r' };
const path = 'model.layers.0.mlp.up_proj';
const numbers = (n: number, phase: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(1.3 * i + phase));

const changesOf = (params: Adapters, lora: LoraConfig) =>
  weightChanges({ params, whole: new Map() }, lora, { isTied: false });

/** A model of one linear layer, W [5, 4] of this type, an adapter of it, and x f32 [3, 4]. */
function setUp(backend: Backend, { dtype, b = numbers(10, 3) }: { dtype: 'f32' | 'f16'; b?: Float32Array }) {
  const w = cast(tensor(backend, numbers(20, 1), [5, 4]), dtype);
  const model = {
    weights: new Map([[`${path}.weight`, w]]),
    linear: (x: Parameters<typeof matmul>[0]) => matmul(x, w, { transposeB: true }),
  };
  const adapters = new Map([
    [path, { a: tensor(backend, numbers(8, 2), [2, 4]), b: tensor(backend, b, [5, 2]) }],
  ]);
  const lora = resolveLora(config, adapters);
  return { model, w, adapters, lora, x: tensor(backend, numbers(12, 0), [3, 4]) };
}

describeEachBackend((backend) => {
  it('gives in f32 what the unmerged adapter gives, to rounding', async () => {
    const { model, adapters, lora, x } = setUp(backend(), { dtype: 'f32' });
    const merged = await withMergedLora(model, adapters, lora)(x, path).data();
    expectClose(merged, await withLora(model.linear, adapters, lora)(x, path).data(), 1e-5);
    expect(merged).not.toEqual(await model.linear(x).data());
  });

  it('rounds W + s·B·A to f16 once', async () => {
    const { model, w, adapters, lora, x } = setUp(backend(), { dtype: 'f16' });
    const [wide, a, b] = [await cast(w, 'f32').data(), numbers(8, 2), numbers(10, 3)];
    const sum = Float32Array.from(wide, (value, i) => {
      const [row, column] = [Math.floor(i / 4), i % 4];
      return value + 3 * (b[2 * row] * a[column] + b[2 * row + 1] * a[4 + column]);
    });
    const expected = matmul(x, cast(tensor(backend(), sum, [5, 4]), 'f16'), { transposeB: true });
    expectClose(await withMergedLora(model, adapters, lora)(x, path).data(), await expected.data(), 1e-5);
  });

  it('with B = 0 changes nothing, bit for bit, and leaves other layers and the weights alone', async () => {
    const zero = setUp(backend(), { dtype: 'f16', b: new Float32Array(10) });
    const before = await cast(zero.w, 'f32').data();
    const linear = withMergedLora(zero.model, zero.adapters, zero.lora);
    expect(await linear(zero.x, path).data()).toEqual(await zero.model.linear(zero.x).data());
    expect(await linear(zero.x, 'lm_head').data()).toEqual(await zero.model.linear(zero.x).data());
    expect(await cast(zero.w, 'f32').data()).toEqual(before);
  });

  it('leaves the weights as they are, bit for bit, so that unmerging is going back to them', async () => {
    const { model, w, adapters, lora, x } = setUp(backend(), { dtype: 'f16' });
    const [bits, y] = [await cast(w, 'f32').data(), await model.linear(x).data()];
    const merged = withMergedLora(model, adapters, lora);
    expect(await merged(x, path).data()).not.toEqual(y);
    expect(await cast(w, 'f32').data()).toEqual(bits);
    expect(await model.linear(x).data()).toEqual(y);
  });

  it.each([false, true])(
    'merges as a checkpoint is merged on the host (magnitude: %s)',
    async (hasMagnitude) => {
      const { model, adapters: plain, lora } = setUp(backend(), { dtype: 'f32' });
      const magnitude = hasMagnitude ? { magnitude: tensor(backend(), numbers(5, 4), [5]) } : {};
      const adapters = new Map([...plain].map(([key, pair]) => [key, { ...pair, ...magnitude }]));
      const eye = tensor(
        backend(),
        Float32Array.from({ length: 16 }, (_, i) => Number(i % 5 === 0)),
        [4, 4],
      );
      const columns = await withMergedLora(model, adapters, lora)(eye, path).data(); // W'ᵀ [4, 5]
      const name = `${path}.weight`;
      const files: WeightFiles = {
        names: () => [name],
        has: () => true,
        spec: () => ({ dtype: 'F32', shape: [5, 4], bytes: 80 }),
        *readChunks() {
          yield new Uint8Array(numbers(20, 1).buffer);
        },
      };
      const merged = mergedCheckpoint(files, await changesOf(adapters, lora.config));
      const [bytes] = merged.readChunks(name, 80);
      const rows = new Float32Array(bytes.buffer);
      const turned = Float32Array.from(columns, (_, i) => rows[(i % 5) * 4 + Math.floor(i / 5)]);
      expectClose(columns, turned, 1e-6);
    },
  );

  it('refuses an adapter with a bias, by its layer, on the device and on the host', async () => {
    const { model, adapters: plain, lora } = setUp(backend(), { dtype: 'f32' });
    const bias = tensor(backend(), numbers(5, 4), [5]);
    const adapters = new Map([...plain].map(([key, pair]) => [key, { ...pair, bias }]));
    const line = `merge: the adapter of ${path} has a bias (lora_bias)`;
    expect(() => withMergedLora(model, adapters, lora)).toThrow(line);
    await expect(changesOf(adapters, lora.config)).rejects.toThrow(line);
  });

  it('refuses an adapter of a layer that the model does not have', () => {
    const { model, adapters, lora } = setUp(backend(), { dtype: 'f32' });
    expect(() => withMergedLora({ ...model, weights: new Map() }, adapters, lora)).toThrow(path);
  });
});
