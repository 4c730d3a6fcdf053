import {
  add,
  matmul,
  mul,
  openCounting,
  rmsNorm,
  type Shape,
  scope,
  size,
  square,
  sum,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { type AnyOp, apply, isRecording } from '@flex/tensor/kernel';
import { describeEachBackend } from '@flex/tensor/testing';
import { describe, expect, test } from 'vitest';
import { pullback } from './pullback.ts';
import { recompute } from './recompute.ts';
import { bumpy, numbers, waves } from './testing/functions.ts';

describeEachBackend((backend) => {
  const of = (...data: number[]): Tensor => tensor(backend(), data, [data.length]);

  test('gives null where f does not depend on x', async () => {
    const [x, y] = [of(1, 2), of(3, 4)];
    const { grads } = pullback(() => sum(square(x)), [x, y]);
    expect(grads[1]).toBeNull();
    expect(await numbers(grads[0]!)).toEqual([2, 4]);
  });

  test('adds the gradients of what several products and a norm read, donated sums and shared ones', async () => {
    const [w, norm] = [waves(backend(), [4, 4]), waves(backend(), [4], 3)];
    const three = (x: Tensor) => {
      const y = square(x);
      const all = [1, 2, 3].map((k) => matmul(y, mul(w, k))).reduce((a, b) => add(a, b));
      return sum(square(add(add(y, all), rmsNorm(y, norm, 1e-2))));
    };
    const one = (x: Tensor) => {
      const y = square(x);
      return sum(square(add(add(y, matmul(y, mul(w, 6))), rmsNorm(y, norm, 1e-2))));
    };
    const gradient = async (f: (x: Tensor) => Tensor) => {
      const x = waves(backend(), [2, 3, 4], 1);
      return numbers(pullback(() => f(x), [x]).grads[0]!);
    };
    const [got, wanted] = [await gradient(three), await gradient(one)];
    for (const [i, value] of got.entries()) {
      expect(Math.abs(value - wanted[i])).toBeLessThan(1e-5 * (1 + Math.abs(wanted[i])));
    }
  });

  test('a sum of gradients is added to in place only where nobody else has it', async () => {
    const [x, y, w] = [1, 2, 3].map((phase) => waves(backend(), [3, 3], phase));
    const apart = (t: Tensor) => mul(t, 1);
    // x and y share a gradient when the product's comes.
    const shared = () => {
      const product = matmul(x, w);
      return sum(add(square(add(x, y)), product));
    };
    const [slope] = pullback(() => sum(square(add(apart(x), y))), [y]).grads;
    expect(await numbers(pullback(shared, [x, y]).grads[1]!)).toEqual(await numbers(slope!));
    // The gradient in x is at first the caller's v.
    const v = waves(backend(), [3, 3], 4);
    const before = await numbers(v);
    pullback(() => add(mul(matmul(x, w), 2), x), [x], v);
    expect(await numbers(v)).toEqual(before);
    // Both of a product's inputs are y, which has a gradient by then.
    const twice = (copy: (t: Tensor) => Tensor) => () => {
      const product = matmul(y, copy(y));
      return sum(add(square(y), product));
    };
    const [got, wanted] = [twice((t) => t), twice(apart)].map((f) => pullback(f, [y]).grads[0]!);
    const exact = await numbers(wanted);
    for (const [i, value] of (await numbers(got)).entries()) expect(value).toBeCloseTo(exact[i], 4);
  });

  test('gives the gradient in a value between, too, past which it does not look', async () => {
    const x = of(1, 2);
    const y = square(x);
    const { grads } = pullback(() => sum(square(y)), [y, x]);
    expect(await numbers(grads[0]!)).toEqual([2, 8]);
    expect(grads[1]).toBeNull();
  });

  test('never computes the gradient of what was not asked for', () => {
    const frozen = of(1, 2);
    const op: AnyOp = {
      kind: 'view',
      offset: () => 0,
      name: 'half-frozen',
      infer: ([a]) => ({ shape: a.shape, dtype: a.dtype }),
      vjp: ([g]) => [
        () => g,
        () => {
          throw new Error('the frozen gradient was computed');
        },
      ],
      samples: [],
    };
    const x = of(1, 2);
    expect(() => pullback(() => sum(apply(op, [x, frozen], {})), [x])).not.toThrow();
    expect(() => pullback(() => sum(apply(op, [x, frozen], {})), [x, frozen])).toThrow(
      'frozen gradient was computed',
    );
  });

  test('differentiates a composition whose input is given twice once for each place', async () => {
    const op: AnyOp = {
      kind: 'composite',
      name: 'product',
      infer: ([a]) => ({ shape: a.shape, dtype: a.dtype }),
      vjp: 'composed',
      composed: ([a, b]) => mul(a, b),
      samples: [],
    };
    const x = of(3, 5);
    expect(await numbers(pullback(() => sum(apply(op, [x, x], {})), [x]).grads[0]!)).toEqual([6, 10]);
  });

  test('a gradient that two inputs share is freed only when neither has it any more', async () => {
    const [x, y] = [of(1, 2), of(3, 4)];
    const both = () => sum(recompute(() => square(add(x, y))));
    // x has a gradient already when the shared one comes: that is added to it, and y's must survive.
    const { grads } = pullback(() => add(both(), sum(square(x))), [x, y]);
    expect(await numbers(grads[0]!)).toEqual([8 + 2, 12 + 4]);
    expect(await numbers(grads[1]!)).toEqual([8, 12]);
  });

  describe('memory', () => {
    test('after a pullback only the value and the gradients are left, run after run', async () => {
      const [x, y] = [waves(backend(), [20, 30]), waves(backend(), [30])];
      const { stats } = backend();
      const step = () => pullback(() => recompute(() => bumpy(x, y)), [x, y]);
      let before = stats.liveBytes;
      const [value, gx, gy] = scope(() => [sum(square(x)), square(x), square(y)]);
      const results = stats.liveBytes - before;
      for (const t of [value, gx, gy]) t.dispose();
      before = stats.liveBytes;
      let peak = 0;
      for (let i = 0; i < 50; i++) {
        backend().resetPeak();
        const { value, grads } = step();
        expect(stats.liveBytes - before).toBe(results);
        for (const t of [value, ...grads]) t?.dispose();
        expect(stats.liveBytes).toBe(before);
        if (i === 0) peak = stats.peakBytes;
        expect(stats.peakBytes).toBe(peak);
      }
      await backend().sync();
    });

    /** The most that one call of f holds besides what lived before, in tensors of `shape`. */
    const peakOf = (f: () => void, shape: Shape): number => {
      const one = tensor(backend(), new Float32Array(size(shape)), shape);
      const { liveBytes } = backend().stats;
      one.dispose();
      const bytes = liveBytes - backend().stats.liveBytes;
      backend().resetPeak();
      const before = backend().stats.liveBytes;
      scope(f);
      return (backend().stats.peakBytes - before) / bytes;
    };

    test('a value is freed as soon as its gradient is passed on', () => {
      const xs = Array.from({ length: 20 }, (_, i) => waves(backend(), [1000], i));
      const many = () =>
        pullback(() => xs.map((x) => sum(square(x))).reduce((total, y) => add(total, y)), xs);
      // 20 values on the tape, each of which then makes way for a gradient.
      expect(peakOf(many, [1000])).toBeLessThan(28);
    });

    test('a gradient is freed as soon as it is used or added to another', () => {
      const x = waves(backend(), [1000]);
      const uses = Array.from({ length: 20 }, (_, i) => i);
      const many = () =>
        pullback(() => uses.map((i) => sum(mul(x, i))).reduce((total, y) => add(total, y)), [x]);
      expect(peakOf(many, [1000])).toBeLessThan(28);
    });

    test('a failure inside frees what was made and stops recording', () => {
      const x = of(1, 2);
      const before = backend().stats.liveBytes;
      const failing = () =>
        pullback(() => {
          square(x);
          throw new Error('inside f');
        }, [x]);
      expect(failing).toThrow('inside f');
      expect(isRecording()).toBe(false);
      expect(backend().stats.liveBytes).toBe(before);
    });

    test('a tensor of f that was not returned is freed, and its use says so', () => {
      const x = of(1, 2);
      let inner: Tensor | undefined;
      pullback(() => {
        inner = square(x);
        return sum(inner);
      }, [x]);
      expect(() => square(inner!)).toThrow('f32[2] was used after it was freed; return it from its scope');
    });
  });
});

test('a gradient that a product makes is added to others by its kernel, whatever shapes it is read under', () => {
  const backend = openCounting();
  const [x, w] = [waves(backend, [2, 3, 4]), waves(backend, [4, 4])];
  pullback(() => {
    const y = square(x);
    return sum([1, 2, 3].map(() => matmul(y, w)).reduce((a, b) => mul(a, b)));
  }, [x]);
  expect(backend.counts.get('matmul')?.calls).toBe(6);
  expect(backend.counts.has('add')).toBe(false);
});
