import { type Backend, cast, matmul, tensor } from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, it } from 'vitest';
import { type LoraConfig, resolveLora, withLora } from './lora.ts';
import { withMergedLora } from './merge.ts';

const config: LoraConfig = { rank: 2, alpha: 6, dropout: 0.5, targets: 'mlp', scaling: 'alpha/r' };
const path = 'model.layers.0.mlp.up_proj';
const numbers = (n: number, phase: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(1.3 * i + phase));

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

  it('refuses an adapter of a layer that the model does not have', () => {
    const { model, adapters, lora } = setUp(backend(), { dtype: 'f32' });
    expect(() => withMergedLora({ ...model, weights: new Map() }, adapters, lora)).toThrow(path);
  });
});
