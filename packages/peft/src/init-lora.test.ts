import { ConfigError, DataError } from '@flex/base';
import { matmul, openReference, type Tensor, tensor } from '@flex/tensor';
import { describe, expect, it } from 'vitest';
import { initAdapter, initLora } from './init-lora.ts';
import { leadingSvd } from './leading-svd.ts';
import { type LoraConfig, resolveLora, withLora } from './lora.ts';
import { mergedWeight } from './merged-weight.ts';

const backend = openReference();
const config: LoraConfig = { rank: 4, alpha: 6, dropout: 0, targets: ['layer'], scaling: 'alpha/r' };
const scale = 1.5;
const [path, out, input] = ['layer', 24, 18];
const targets = new Map([[path, { out, in: input }]]);
const w = tensor(
  backend,
  Float64Array.from({ length: out * input }, (_, i) => Math.sin(0.37 * i * i) + 0.2 * Math.cos(i)),
  [out, input],
);
const weights = new Map([[`${path}.weight`, w]]);
const begin = (given: Partial<LoraConfig>, seed = 1) =>
  initAdapter({ backend, weights }, { ...config, ...given }, targets, seed);

/** Mean and variance of a tensor's numbers, their count, and the largest size. */
async function moments(t: Tensor) {
  const values = [...(await t.data())];
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + x * x, 0) / values.length;
  return {
    mean,
    variance,
    count: values.length,
    largest: values.reduce((most, x) => Math.max(most, Math.abs(x)), 0),
  };
}

const wide = new Map([[path, { out: 900, in: 1100 }]]);

it('gaussian: A is normal with deviation 1/r, B zero', async () => {
  const { a, b } = initLora(backend, { ...config, init: 'gaussian' }, wide, 3).get(path)!;
  const { mean, variance, count, largest } = await moments(a);
  // Five standard errors: 1/√n of the mean and √(2/n) of the variance, in units of the deviation.
  expect(Math.abs(4 * mean)).toBeLessThan(5 / Math.sqrt(count));
  expect(Math.abs(16 * variance - 1)).toBeLessThan(5 * Math.sqrt(2 / count));
  expect(4 * largest).toBeGreaterThan(3);
  expect((await moments(b)).largest).toBe(0);
});

it('random: B, and its bias, are uniform in ±1/√r, and A as ever', async () => {
  const lora = { ...config, loraBias: true };
  const { a, b, bias } = initLora(backend, { ...lora, init: 'random' }, wide, 3).get(path)!;
  for (const t of [b, bias!]) {
    const { mean, variance, count, largest } = await moments(t);
    expect(largest).toBeLessThanOrEqual(1 / 2);
    expect(Math.abs(2 * mean)).toBeLessThan(5 / Math.sqrt(3 * count));
    expect(Math.abs(12 * variance - 1)).toBeLessThan(10 / Math.sqrt(5 * count));
  }
  const plain = initLora(backend, lora, wide, 3).get(path)!;
  expect(await plain.a.data()).toEqual(await a.data());
  expect((await moments(plain.bias!)).largest).toBe(0);
  expect(plain.bias!.shape).toEqual([900]);
});

it('orthogonal: A and B are dense, and B·A is zero', async () => {
  const { a, b } = initLora(backend, { ...config, init: 'orthogonal' }, wide, 3).get(path)!;
  for (const t of [a, b]) {
    // Each number is a sum of r/2 normals, each times a part of a vector of norm 1: variance (r/2)/r/100.
    const { variance } = await moments(t);
    expect(Math.abs(200 * variance - 1)).toBeLessThan(0.3);
  }
  expect((await moments(matmul(b, a))).largest).toBeLessThan(1e-7);
});

describe.each(['pissa', 'olora'] as const)('%s', (init) => {
  it('takes out of W what it starts with, so that the model is as it was', async () => {
    for (const dora of [false, true]) {
      const { params, removed } = await begin({ init, dora });
      const lora = resolveLora({ ...config, init, dora }, params, { weights, removed });
      const linear = (x: Tensor) => matmul(x, w, { transposeB: true });
      const x = tensor(
        backend,
        [1, -2, 0.5].flatMap((c) => Array(input / 3).fill(c)),
        [1, input],
      );
      const [found, expected] = [withLora(linear, params, lora)(x, path), linear(x)];
      const values = await expected.data();
      for (const [i, y] of (await found.data()).entries()) expect(y).toBeCloseTo(values[i], 5);
      expect(params.get(path)!.a).not.toBe(removed!.get(path)!.a);
    }
  });

  it('decomposes linear layers that are large enough', async () => {
    await expect(begin({ init, rank: 19 })).rejects.toThrow(
      new ConfigError(`lora.init: ${init} needs a rank of at most 18 for layer, not 19`),
    );
  });

  it('refuses a weight that is not finite', async () => {
    const numbers = Float32Array.from(await w.data());
    numbers[7] = Number.NaN;
    const broken = new Map([[`${path}.weight`, tensor(backend, numbers, w.shape)]]);
    await expect(initAdapter({ backend, weights: broken }, { ...config, init }, targets, 1)).rejects.toThrow(
      new DataError(`lora.init: ${init} cannot decompose layer, whose weight holds NaN`),
    );
  });
});

it('pissa: what is left of W is the rest of its singular values, and A and B share each of them', async () => {
  const { params, removed } = await begin({ init: 'pissa' });
  const [whole, rest] = [w, mergedWeight(w, removed!.get(path)!, -scale)];
  const host = async (t: Tensor) => ({ data: Float32Array.from(await t.data()), rows: out, columns: input });
  const all = leadingSvd(await host(whole), input).sigma;
  const left = leadingSvd(await host(rest), input - 4).sigma;
  for (const [i, sigma] of left.entries()) expect(sigma).toBeCloseTo(all[i + 4], 5);
  const { a, b } = params.get(path)!;
  const grams = [matmul(a, a, { transposeB: true }), matmul(b, b, { transposeA: true })];
  for (const gram of grams) {
    const values = await gram.data();
    for (let i = 0; i < 16; i++) expect(values[i]).toBeCloseTo(i % 5 === 0 ? all[i / 5] / scale : 0, 5);
  }
});

it('olora: B has orthonormal columns, A is triangular, and B·A begins as W does', async () => {
  const { a, b } = (await begin({ init: 'olora' })).params.get(path)!;
  const gram = await matmul(b, b, { transposeA: true }).data();
  for (let i = 0; i < 16; i++) expect(gram[i]).toBeCloseTo(Number(i % 5 === 0), 6);
  const rows = await a.data();
  for (let k = 0; k < 4; k++) for (let j = 0; j < k; j++) expect(rows[k * input + j]).toBe(0);
  const [product, own] = [await matmul(b, a).data(), await w.data()];
  for (let i = 0; i < out; i++)
    for (let j = 0; j < 4; j++) expect(product[i * input + j]).toBeCloseTo(own[i * input + j], 5);
});

it('DoRA starts from the norms of the rows of W + s·B·A', async () => {
  for (const init of ['kaiming', 'random'] as const) {
    const pair = (await begin({ init, dora: true })).params.get(path)!;
    const { a, b } = pair;
    const rows = await mergedWeight(w, { a, b }, scale).data();
    const norms = Array.from({ length: out }, (_, i) =>
      Math.hypot(...rows.slice(i * input, (i + 1) * input)),
    );
    for (const [i, m] of (await pair.magnitude!.data()).entries()) expect(m).toBeCloseTo(norms[i], 5);
  }
});

it('what PEFT does not take is refused by its key', async () => {
  const wrong: [Partial<LoraConfig>, string][] = [
    [{ loraBias: true, dora: true }, 'lora.lora_bias: cannot be had with lora.dora'],
    [{ loraBias: true, init: 'gaussian' }, 'lora.lora_bias: needs lora.init kaiming or random, not gaussian'],
    [{ loraBias: true, init: 'pissa' }, 'lora.lora_bias: needs lora.init kaiming or random, not pissa'],
    [{ rank: 3, init: 'orthogonal' }, 'lora.init: orthogonal needs an even rank, layer has 3'],
  ];
  for (const [given, message] of wrong) await expect(begin(given)).rejects.toThrow(new ConfigError(message));
  for (const given of [{ init: 'pissa' }, { dora: true }] as const)
    expect(() => initLora(backend, { ...config, ...given }, targets, 1)).toThrow('take initAdapter');
});
