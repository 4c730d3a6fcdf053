import { grad, mapTree } from '@flex/autograd';
import { ConfigError } from '@flex/base';
import {
  add,
  addScaled,
  type Backend,
  dropout,
  matmul,
  openReference,
  scope,
  sub,
  sum,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { describeEachBackend, expectClose, relativeError } from '@flex/tensor/testing';
import { describe, expect, it } from 'vitest';
import type { AdapterPair, Adapters } from './adapters.ts';
import { initAdapter, initLora } from './init-lora.ts';
import { type DropoutState, type Linear, type LoraConfig, resolveLora, scaleOf, withLora } from './lora.ts';
import { mergedWeight } from './merged-weight.ts';
import { plainAdapter, trainedHalf } from './plain-adapter.ts';
import { resolveTargets } from './targets.ts';
import { llamaLinears } from './testing/llama-linears.ts';

const config: LoraConfig = { rank: 2, alpha: 6, dropout: 0, targets: 'mlp', scaling: 'alpha/r' };
const path = 'model.layers.0.mlp.up_proj';

const numbers = (n: number, phase: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(1.3 * i + phase));

/** x [2, 3, 4], W [5, 4], A [2, 4] and B [5, 2]. */
function setUp(backend: Backend) {
  const x = tensor(backend, numbers(24, 0), [2, 3, 4]);
  const w = tensor(backend, numbers(20, 1), [5, 4]);
  const linear: Linear = (input) => matmul(input, w, { transposeB: true });
  const adapters = new Map<string, AdapterPair>([
    [path, { a: tensor(backend, numbers(8, 2), [2, 4]), b: tensor(backend, numbers(10, 3), [5, 2]) }],
  ]);
  return { x, linear, adapters };
}

/** `withLora` of a config that is resolved for these adapters. */
const adaptedBy = (
  linear: Linear,
  adapters: Adapters,
  lora: LoraConfig,
  dropoutState?: DropoutState,
): Linear => withLora(linear, adapters, resolveLora(lora, adapters), dropoutState);

describeEachBackend((backend) => {
  it('adds s·(x·Aᵀ)·Bᵀ to the layers that have an adapter, and nothing to the others', async () => {
    const { x, linear, adapters } = setUp(backend());
    const adapted = adaptedBy(linear, adapters, config);
    const [w, a, b] = [numbers(20, 1), numbers(8, 2), numbers(10, 3)];
    const merged = w.map((value, i) => {
      const [row, column] = [Math.floor(i / 4), i % 4];
      return value + 3 * (b[2 * row] * a[column] + b[2 * row + 1] * a[4 + column]);
    });
    const expected = await matmul(x, tensor(backend(), merged, [5, 4]), { transposeB: true }).data();
    const y = adapted(x, path);
    expect(y.shape).toEqual([2, 3, 5]);
    expectClose(await y.data(), expected, 1e-5);
    expect(await adapted(x, 'lm_head').data()).toEqual(await linear(x, 'lm_head').data());
  });

  it('with B = 0 changes nothing, bit for bit, with and without dropout', async () => {
    const { x, linear, adapters } = setUp(backend());
    adapters.set(path, { a: adapters.get(path)!.a, b: tensor(backend(), new Float32Array(10), [5, 2]) });
    const expected = await linear(x, path).data();
    expect(await adaptedBy(linear, adapters, config)(x, path).data()).toEqual(expected);
    const dropping = adaptedBy(linear, adapters, { ...config, dropout: 0.5 }, { seed: 1, step: 1 });
    expect(await dropping(x, path).data()).toEqual(expected);
  });

  it('drops the same inputs for one seed, step and module, and others for another', async () => {
    const { x, linear, adapters } = setUp(backend());
    const other = path.replace('0', '1');
    adapters.set(other, adapters.get(path)!);
    const run = (seed: number, step: number, module = path, dropout = 0.5) =>
      adaptedBy(linear, adapters, { ...config, dropout }, { seed, step })(x, module).data();
    const mask = await run(1, 1);
    expect(await run(1, 1)).toEqual(mask);
    for (const differing of [run(2, 1), run(1, 2), run(1, 1, other)])
      expect(await differing).not.toEqual(mask);
    const whole = await adaptedBy(linear, adapters, { ...config, dropout: 0.5 })(x, path).data();
    expect(whole).not.toEqual(mask);
    expect(await run(1, 1, path, 0)).toEqual(whole);
  });

  describe('with DoRA', () => {
    /** The adapter with a magnitude f32 [5], resolved for W. */
    const setUpDora = (magnitude: ArrayLike<number>) => {
      const { x, linear, adapters } = setUp(backend());
      const { a, b } = adapters.get(path)!;
      const m = tensor(backend(), Float32Array.from(magnitude), [5]);
      const pairs: Adapters = new Map([[path, { a, b, magnitude: m }]]);
      const weights = new Map([[`${path}.weight`, tensor(backend(), numbers(20, 1), [5, 4])]]);
      return { x, linear, pairs, weights };
    };

    it('is m/‖W + s·B·A‖·(W + s·B·A)·x in each row', async () => {
      const magnitude = [0.5, -1, 2, 0, 3];
      const { x, linear, pairs, weights } = setUpDora(magnitude);
      const [w, a, b, input] = [numbers(20, 1), numbers(8, 2), numbers(10, 3), numbers(24, 0)];
      const merged = [...w].map((value, i) => {
        const [row, column] = [Math.floor(i / 4), i % 4];
        return value + 3 * (b[2 * row] * a[column] + b[2 * row + 1] * a[4 + column]);
      });
      const rows = magnitude.map((m, o) => {
        const row = merged.slice(4 * o, 4 * o + 4);
        const norm = Math.hypot(...row);
        return row.map((value) => (m * value) / norm);
      });
      const expected = Array.from({ length: 30 }, (_, i) =>
        rows[i % 5].reduce((sum, value, k) => sum + value * input[4 * Math.floor(i / 5) + k], 0),
      );
      const adapted = withLora(linear, pairs, resolveLora(config, pairs, { weights }));
      expectClose(await adapted(x, path).data(), Float32Array.from(expected), 1e-5);
    });

    it('of W’s own norms and B = 0 changes nothing, bit for bit, with and without dropout', async () => {
      const { x, linear, weights } = setUpDora([1, 1, 1, 1, 1]);
      const targets = new Map([[path, { out: 5, in: 4 }]]);
      const lora = { ...config, dora: true, dropout: 0.5 };
      const { params } = await initAdapter({ backend: backend(), weights }, lora, targets, 1);
      const resolved = resolveLora(lora, params, { weights });
      const expected = await linear(x, path).data();
      expect(await withLora(linear, params, resolved)(x, path).data()).toEqual(expected);
      const dropping = withLora(linear, params, resolved, { seed: 1, step: 1 });
      expect(await dropping(x, path).data()).toEqual(expected);
    });

    it('drops the inputs of all that the magnitude scales, as PEFT does', async () => {
      const { x, linear, pairs, weights } = setUpDora([1, 2, 3, 4, 5]);
      const resolved = resolveLora({ ...config, dropout: 0.5 }, pairs, { weights });
      const state = { seed: 1, step: 1 };
      const mask = dropout(x, { rate: 0.5, key: [1, 0xd509], counter: [1, 0] });
      // y = Wx + (y₀(x̃) − Wx̃), y₀ being the adapted layer without dropout.
      const plain = withLora(linear, pairs, resolved);
      const expected = add(linear(x, path), sub(plain(mask, path), linear(mask, path)));
      const found = withLora(linear, pairs, resolved, state)(x, path);
      expectClose(await found.data(), await expected.data(), 1e-5);
      expect(relativeError(await found.data(), await plain(x, path).data())).toBeGreaterThan(0.1);
    });

    it('needs the weight', () => {
      const { x, linear, pairs } = setUpDora([1, 2, 3, 4, 5]);
      const weights = new Map();
      expect(() => resolveLora(config, pairs, { weights })).toThrow(`lora: there is no weight of ${path}`);
      const adapted = withLora(linear, pairs, resolveLora(config, pairs));
      expect(() => adapted(x, path)).toThrow("without the model's weights");
    });
  });

  it('adds s·bias, and what was taken out of W is taken out', async () => {
    const { x, linear, adapters } = setUp(backend());
    const { a, b } = adapters.get(path)!;
    const bias = tensor(backend(), numbers(5, 7), [5]);
    const plain = adaptedBy(linear, adapters, config)(x, path);
    const biased: Adapters = new Map([[path, { a, b, bias }]]);
    const found = adaptedBy(linear, biased, config)(x, path);
    expectClose(await found.data(), await addScaled(plain, bias, 3).data(), 1e-6);
    const other = {
      a: tensor(backend(), numbers(8, 5), [2, 4]),
      b: tensor(backend(), numbers(10, 6), [5, 2]),
    };
    const removed: Adapters = new Map([[path, other]]);
    const less = withLora(linear, adapters, resolveLora(config, adapters, { removed }))(x, path);
    const w = tensor(backend(), numbers(20, 1), [5, 4]);
    const direct = mergedWeight(mergedWeight(w, other, -3), { a, b }, 3);
    expectClose(await less.data(), await matmul(x, direct, { transposeB: true }).data(), 1e-5);
    const wide = plainAdapter(adapters, removed, config);
    const same = adaptedBy(linear, wide.params, wide.config)(x, path);
    expectClose(await same.data(), await less.data(), 1e-5);
    const [back, before] = [trainedHalf(wide.params).get(path)!, { a, b }];
    for (const side of ['a', 'b'] as const)
      expect(await back[side].data()).toEqual(await before[side].data());
  });

  it('frees what it makes but its result', async () => {
    const { x, linear, adapters } = setUp(backend());
    const adapted = adaptedBy(linear, adapters, { ...config, dropout: 0.5 }, { seed: 1, step: 1 });
    const bytesOf = (f: () => Tensor) => {
      const live = backend().stats.liveBytes;
      const y = scope(f);
      const bytes = backend().stats.liveBytes - live;
      y.dispose();
      return bytes;
    };
    expect(bytesOf(() => linear(x, path))).toBeGreaterThan(0);
    // Not in a scope of its patterned, so that nothing else frees what is made on the way.
    const live = backend().stats.liveBytes;
    adapted(x, path);
    const whole = backend().stats.liveBytes - live;
    expect(whole).toBe(bytesOf(() => linear(x, path)));
  });
});

it('the gradients of A and B are right, through the same mask', async () => {
  const { x, linear, adapters } = setUp(openReference());
  const loss = (params: Adapters) =>
    sum(adaptedBy(linear, params, { ...config, dropout: 0.5 }, { seed: 3, step: 2 })(x, path));
  const grads = grad(loss, adapters);
  for (const side of ['a', 'b'] as const) {
    const t = adapters.get(path)![side];
    const found = await grads.get(path)?.[side].data();
    const values = await t.data();
    for (const i of [0, 3, 7]) {
      const at = (h: number) => {
        const moved = tensor(
          t.backend,
          values.map((value, k) => (k === i ? value + h : value)),
          t.shape,
        );
        return loss(mapTree((w) => (w === t ? moved : w), adapters)).item();
      };
      expect(found?.[i]).toBeCloseTo(((await at(1e-4)) - (await at(-1e-4))) / 2e-4, 6);
    }
  }
});

describe('a fresh adapter', () => {
  const targets = resolveTargets('mlp', llamaLinears(2));

  it('has a pair for each target, A within ±1/√in with variance 1/(3·in), and B zero', async () => {
    const params = initLora(openReference(), { ...config, rank: 16 }, targets, 5);
    expect([...params.keys()]).toEqual([...targets.keys()]);
    expect(params.size).toBe(6);
    for (const [module, size] of targets) {
      const { a, b } = params.get(module)!;
      expect([a.shape, b.shape]).toEqual([
        [16, size.in],
        [size.out, 16],
      ]);
      expect((await b.data()).every((value) => value === 0)).toBe(true);
      const values = [...(await a.data())];
      const bound = 1 / Math.sqrt(size.in);
      expect(values.every((value) => Math.abs(value) <= bound)).toBe(true);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
      // Five standard errors: 1/√(3n) of the mean and 2/√(5n) of the variance, in units of the bound.
      expect(Math.abs(mean) / bound).toBeLessThan(5 / Math.sqrt(3 * values.length));
      expect(Math.abs((3 * variance) / bound ** 2 - 1)).toBeLessThan(10 / Math.sqrt(5 * values.length));
    }
  });

  it('is the same for the same seed, another for another, and no two modules are alike', async () => {
    const draw = async (seed: number) => {
      const params = initLora(openReference(), config, targets, seed);
      return Promise.all([...params.values()].map(async ({ a }) => (await a.data()).slice(0, 5).join()));
    };
    const first = await draw(1);
    expect(await draw(1)).toEqual(first);
    const second = await draw(2);
    expect(new Set([...first, ...second]).size).toBe(12);
  });
});

it('the scale is α/r, α or α/√r, and patterns give a module its patterned rank and alpha', () => {
  const patterned = {
    ...config,
    rankPattern: { 'layers.1.mlp.up_proj': 4, up_proj: 3 },
    alphaPattern: { 'layers.\\d.mlp.*': 12 },
  };
  expect(scaleOf(config, path)).toBe(3);
  expect(scaleOf({ ...config, scaling: 'alpha' }, path)).toBe(6);
  expect(scaleOf({ ...config, scaling: 'alpha/sqrt(r)' }, path)).toBeCloseTo(6 / Math.SQRT2, 12);
  expect(scaleOf(patterned, path)).toBe(4);
  expect(scaleOf(patterned, 'model.layers.1.mlp.up_proj')).toBe(3);
  expect(scaleOf(patterned, 'model.layers.1.self_attn.q_proj')).toBe(3);
  expect(
    initLora(openReference(), patterned, new Map([[path, { out: 5, in: 4 }]]), 1).get(path)?.a.shape,
  ).toEqual([3, 4]);
});

it('a module that the config was not resolved for is refused by name', () => {
  const { x, linear, adapters } = setUp(openReference());
  const adapted = withLora(linear, adapters, resolveLora(config, new Map()));
  expect(() => adapted(x, path)).toThrow(
    new ConfigError(`lora: ${path} is none of the modules that it was resolved for`),
  );
});
