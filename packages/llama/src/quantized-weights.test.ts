import { join } from 'node:path';
import { DataError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { dequantize, matmul, openWasm, quantize, scope, type Tensor, tensor } from '@flex/tensor';
import { toFloat32 } from '@flex/tensor/safetensors';
import { afterAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from './checkpoint-files.ts';
import { generate } from './generate.ts';
import { forward, loadModel, logits } from './model.ts';
import { describeQuantized } from './quantized-weights.ts';
import { writeTinyModel } from './testing/index.ts';
import { quantizedModules } from './weights.ts';

const micro = join(import.meta.dirname, '../../cli/assets/micro');
const backend = openWasm({ threads: 2 });
afterAll(() => backend.close());

function given(name: string): Float32Array {
  const checkpoint = openCheckpoint(micro);
  const { dtype } = checkpoint.spec(name);
  const pieces = [...checkpoint.readChunks(name, 1 << 24)];
  checkpoint.close();
  return toFloat32(dtype, Buffer.concat(pieces));
}

const plainLinear = (weights: ReadonlyMap<string, Tensor>) => (x: Tensor, path: string) =>
  matmul(x, weights.get(`${path}.weight`)!, { transposeB: true });

const distance = (x: Float32Array, y: Float32Array) => Math.hypot(...x.map((a, i) => a - y[i]));

describe.each(['int8', 'nf4'] as const)('%s', (dtype) => {
  test('is how the linear layers but the head are stored, and nothing else', async () => {
    const model = await loadModel(backend, micro, { dtype: 'f16', quantize: dtype });
    const modules = quantizedModules(model.config);
    expect(modules).toHaveLength(7 * model.config.layers);
    for (const [name, weight] of model.weights) {
      const path = name.replace(/\.weight$/, '');
      const others = weight.shape.length > 1 ? 'f16' : 'f32';
      expect([name, weight.dtype]).toEqual([name, modules.includes(path) ? dtype : others]);
    }
    expect(Object.keys(model.quantized!.errors).sort()).toEqual([...modules].sort());
    for (const path of modules.slice(0, 7)) {
      const weight = model.weights.get(`${path}.weight`)!;
      const w = given(`${path}.weight`);
      const spec = { shape: weight.shape, dtype };
      const stored = (await weight.data()) as Float32Array;
      expect(stored).toEqual(dequantize(spec, quantize(spec, [w])));
      const error = distance(stored, w) / distance(w, new Float32Array(w.length));
      expect(model.quantized!.errors[path]).toBeCloseTo(error, 5);
    }
    expect(describeQuantized(model.quantized!)).toMatch(
      new RegExp(
        `^${dtype}: ${modules.length} matrices, relative error 0\\.\\d+ in the mean, 0\\.\\d+ at most`,
      ),
    );
    model.dispose();
  });

  test('has the logits of a model of the numbers that it stands for, and decodes', async () => {
    const model = await loadModel(backend, micro, { dtype: 'f32', quantize: dtype });
    const weights = new Map(model.weights);
    for (const [name, weight] of model.weights) {
      if (weight.dtype === dtype) weights.set(name, tensor(backend, await weight.data(), weight.shape));
    }
    const plain = { ...model, linear: plainLinear(weights) };
    const ids = Int32Array.from({ length: 20 }, (_, i) => 3 + ((37 * i) % 500));
    const [got, want] = await Promise.all(
      [model, plain].map((one) =>
        scope(() => logits(one, forward(one, tensor(backend, ids, [2, 10], 'i32')))).data(),
      ),
    );
    expect(Math.max(...got.map((x, i) => Math.abs(x - want[i])))).toBeLessThan(1e-4);
    const settings = { maxNewTokens: 8, temperature: 0 };
    const [one, other] = [
      await generate(model, [1, 5, 9], settings),
      await generate(plain, [1, 5, 9], settings),
    ];
    expect(one.ids).toEqual(other.ids);
    model.dispose();
  });

  test('is refused for rows that are no multiple of 8, before anything is loaded', async () => {
    const dir = join(temporaryFolder(), 'model');
    writeTinyModel(dir);
    const before = backend.stats.liveBytes;
    const line = `quantize: ${dtype} needs rows of a multiple of 8 numbers, and "model.layers.0.mlp.down_proj.weight" is [8, 12]; leave it out`;
    await expect(loadModel(backend, dir, { dtype: 'f32', quantize: dtype })).rejects.toThrow(
      new DataError(line),
    );
    expect(backend.stats.liveBytes).toBe(before);
  });

  test.each([
    [Number.NaN, 'NaN'],
    [Number.NEGATIVE_INFINITY, 'infinity'],
  ])('is refused for a weight of %s, by its name', async (x, name) => {
    const dir = join(temporaryFolder(), 'model');
    const path = 'model.layers.1.self_attn.v_proj.weight';
    writeTinyModel(dir, { intermediate_size: 16 }, (tensors) => void tensors.get(path)!.fill(x, 7, 8));
    const before = backend.stats.liveBytes;
    const line = `${dir}: tensor "${path}": ${dtype}: has no code for ${name}`;
    await expect(loadModel(backend, dir, { dtype: 'f32', quantize: dtype })).rejects.toThrow(
      new DataError(line),
    );
    expect(backend.stats.liveBytes).toBe(before);
  });
});
