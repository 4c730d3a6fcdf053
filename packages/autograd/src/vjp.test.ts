import {
  add,
  type Backend,
  exp,
  mul,
  reshape,
  type Shape,
  scope,
  silu,
  size,
  square,
  sum,
  type Tensor,
  tanh,
  tensor,
} from '@flex/tensor';
import { type AnyOp, apply, isRecording } from '@flex/tensor/kernel';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { describe, expect, test } from 'vitest';
import { hvp, recompute, valueAndGrad, vjp } from './vjp.ts';

const waves = (backend: Backend, shape: Shape, phase = 0): Tensor =>
  tensor(
    backend,
    Float32Array.from({ length: size(shape) }, (_, i) => Math.sin(1.7 * i + phase)),
    shape,
  );

const numbers = async (t: Tensor | null): Promise<number[]> => [...(await t!.data())];

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((total, x, i) => total + x * b[i], 0);

/** A number with nothing linear about it: Σ (tanh(x·y) + x)²·eʸ. */
const bumpy = (x: Tensor, y: Tensor): Tensor => sum(mul(square(add(tanh(mul(x, y)), x)), exp(y)));

describeEachBackend((backend) => {
  const of = (...data: number[]): Tensor => tensor(backend(), data, [data.length]);

  describe('vjp', () => {
    test('follows the chain rule: d/dx e^(3x²) = 6x·e^(3x²)', async () => {
      const xs = [0.5, -1, 0.25];
      const x = of(...xs);
      const { value, grads } = vjp(() => sum(exp(mul(square(x), 3))), [x]);
      expectClose(
        await numbers(grads[0]),
        xs.map((v) => 6 * v * Math.exp(3 * v * v)),
        1e-5,
      );
      expectClose([await value.item()], [xs.reduce((total, v) => total + Math.exp(3 * v * v), 0)], 1e-5);
    });

    test('adds up what a tensor used twice gives, in one op and in several', async () => {
      const x = of(2, -3);
      const cube = vjp(() => sum(mul(mul(x, x), x)), [x]);
      expectClose(await numbers(cube.grads[0]), [12, 27], 1e-5);
      const doubled = vjp(() => sum(add(x, x)), [x]);
      expectClose(await numbers(doubled.grads[0]), [2, 2], 1e-6);
    });

    test('adds up through reshapes and through both halves of a diamond', async () => {
      const x = of(1, 2, 3, 4);
      const { grads } = vjp(() => {
        const y = square(x);
        return sum(mul(reshape(y, [2, 2]), reshape(mul(y, 5), [2, 2])));
      }, [x]);
      expectClose(
        await numbers(grads[0]),
        [1, 2, 3, 4].map((v) => 20 * v ** 3),
        1e-5,
      );
    });

    test('gives null where f does not depend on x', async () => {
      const [x, y] = [of(1, 2), of(3, 4)];
      const { grads } = vjp(() => sum(square(x)), [x, y]);
      expect(grads[1]).toBeNull();
      expect(await numbers(grads[0])).toEqual([2, 4]);
    });

    test('gives the gradient in a value between, too', async () => {
      const x = of(1, 2);
      const y = square(x);
      const { grads } = vjp(() => sum(square(y)), [y, x]);
      expect(await numbers(grads[0])).toEqual([2, 8]);
      expect(grads[1]).toBeNull();
    });

    test('multiplies with a seed of the value’s shape, and refuses any other', async () => {
      const x = of(1, 2, 3);
      expect(await numbers(vjp(() => square(x), [x], of(1, 10, 100)).grads[0])).toEqual([2, 40, 600]);
      expect(() => vjp(() => square(x), [x], of(1, 2))).toThrow(
        "seed must have the value's shape, got f32[2] for f32[3]",
      );
      expect(() => vjp(() => square(x), [x])).toThrow('vjp: needs one number or a seed, got f32[3]');
    });

    test('hands out further tensors, which live on', async () => {
      const x = of(1, 2);
      const { value, grads } = vjp(() => {
        const y = square(x);
        return [sum(y), { y, note: 'aux' }] as const;
      }, [x]);
      expect(value[1].note).toBe('aux');
      expect(await numbers(value[1].y)).toEqual([1, 4]);
      expect(await numbers(grads[0])).toEqual([2, 4]);
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
      expect(() => vjp(() => sum(apply(op, [x, frozen], {})), [x])).not.toThrow();
      expect(() => vjp(() => sum(apply(op, [x, frozen], {})), [x, frozen])).toThrow(
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
      expect(await numbers(vjp(() => sum(apply(op, [x, x], {})), [x]).grads[0])).toEqual([6, 10]);
    });

    test('differentiates gradients: x³ has 3x², 6x and 6', async () => {
      const xs = [2, -1.5];
      const x = of(...xs);
      const gradient = (f: () => Tensor) => () => sum(vjp(f, [x]).grads[0]!);
      const first = () => sum(mul(square(x), x));
      const second = gradient(first);
      const third = gradient(second);
      expectClose(
        await numbers(vjp(first, [x]).grads[0]),
        xs.map((v) => 3 * v * v),
        1e-5,
      );
      expectClose(
        await numbers(vjp(second, [x]).grads[0]),
        xs.map((v) => 6 * v),
        1e-5,
      );
      expectClose(
        await numbers(vjp(third, [x]).grads[0]),
        xs.map(() => 6),
        1e-5,
      );
    });
  });

  test('valueAndGrad names its gradients and gives zeros for a parameter that is not used', async () => {
    const parameters = new Map([
      ['w', of(1, 2)],
      ['unused', tensor(backend(), [7, 7], [1, 2])],
    ]);
    const { value, grads } = valueAndGrad(() => sum(square(parameters.get('w')!)), parameters);
    expect(await value.item()).toBe(5);
    expect([...grads.keys()]).toEqual(['w', 'unused']);
    expect(await numbers(grads.get('w')!)).toEqual([2, 4]);
    expect(grads.get('unused')!.shape).toEqual([1, 2]);
    expect(await numbers(grads.get('unused')!)).toEqual([0, 0]);
  });

  describe('hvp', () => {
    test('is the Hessian’s product: Σ x²y at (x, y)', async () => {
      const [x, y] = [of(1, 2), of(3, 4)];
      const [hx, hy] = hvp(() => sum(mul(square(x), y)), [x, y], [of(1, 1), of(10, 10)]);
      expectClose(await numbers(hx), [2 * 3 + 2 * 1 * 10, 2 * 4 + 2 * 2 * 10], 1e-5);
      expectClose(await numbers(hy), [2 * 1, 2 * 2], 1e-5);
    });

    test('is symmetric: ⟨u, Hv⟩ = ⟨v, Hu⟩', async () => {
      const shapes: Shape[] = [[3, 4], [4]];
      const [x, y] = shapes.map((shape) => waves(backend(), shape));
      const [us, vs] = [1, 2].map((phase) => shapes.map((shape) => waves(backend(), shape, phase)));
      const along = async (directions: Tensor[], others: Tensor[]) => {
        const products = hvp(() => bumpy(x, y), [x, y], directions);
        const parts = await Promise.all(
          products.map(async (h, i) => dot(await numbers(h), await numbers(others[i]))),
        );
        return parts[0] + parts[1];
      };
      expectClose([await along(us, vs)], [await along(vs, us)], 1e-5);
    });

    test('is null where the gradient is constant, and refuses an f that depends on nothing', () => {
      const x = of(1, 2);
      expect(hvp(() => sum(x), [x], [of(1, 1)])).toEqual([null]);
      expect(() => hvp(() => sum(of(1)), [x], [of(1, 1)])).toThrow('hvp: f depends on none of xs');
    });
  });

  describe('recompute', () => {
    /** Two blocks, the first of two inputs; with checkpoints or without. */
    const network = (
      x: Tensor,
      w: Tensor,
      how: (f: () => Tensor, inputs: readonly Tensor[]) => Tensor,
    ): Tensor => {
      const hidden = how(() => silu(mul(tanh(mul(x, w)), w)), [x, w]);
      return sum(square(how(() => add(exp(hidden), silu(hidden)), [hidden])));
    };
    const plain = (f: () => Tensor) => f();

    test('gives the same bits as without, and second derivatives that differ in the order of sums alone', async () => {
      const [x, w] = [waves(backend(), [6, 5]), waves(backend(), [5], 1)];
      const directions = [waves(backend(), [6, 5], 2), waves(backend(), [5], 3)];
      const first = async (how: typeof recompute) => {
        const { value, grads } = vjp(() => network(x, w, how), [x, w]);
        return Promise.all([value, ...grads].map(numbers));
      };
      expect(await first(recompute)).toEqual(await first(plain));
      const second = async (how: typeof recompute) =>
        (await Promise.all(hvp(() => network(x, w, how), [x, w], directions).map(numbers))).flat();
      const tolerance = backend().name === 'reference' ? 1e-13 : 1e-5;
      expectClose(await second(recompute), await second(plain), tolerance);
    });

    test('gives null for what its function does not reach, and counts an input listed twice once', async () => {
      const [x, y] = [of(1, 2), of(3, 4)];
      const { grads } = vjp(() => sum(recompute(() => square(x), [x, x])), [x, y]);
      expect(await numbers(grads[0])).toEqual([2, 4]);
      expect(grads[1]).toBeNull();
    });

    test('may return its input', async () => {
      const x = of(1, 2);
      expect(await numbers(vjp(() => sum(square(recompute(() => x, [x]))), [x]).grads[0])).toEqual([2, 4]);
    });

    test('needs less memory at the peak', () => {
      const deep = (how: typeof recompute): number => {
        backend().resetPeak();
        const before = backend().stats.liveBytes;
        scope(() => {
          const x = waves(backend(), [1000]);
          vjp(() => {
            let y = x;
            for (let layer = 0; layer < 6; layer++) {
              const input = y;
              y = how(() => tanh(silu(tanh(silu(tanh(input))))), [input]);
            }
            return sum(y);
          }, [x]);
        });
        return backend().stats.peakBytes - before;
      };
      // 30 values against 6 and the 5 of one layer, plus gradients.
      expect(deep(recompute)).toBeLessThan(0.6 * deep(plain));
    });
  });

  describe('memory', () => {
    test('after vjp only the value and the gradients are left, run after run', async () => {
      const [x, y] = [waves(backend(), [20, 30]), waves(backend(), [30])];
      const { stats } = backend();
      const step = () => vjp(() => recompute(() => bumpy(x, y), [x, y]), [x, y]);
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
      const many = () => vjp(() => xs.map((x) => sum(square(x))).reduce((total, y) => add(total, y)), xs);
      // 20 values on the tape, each of which then makes way for a gradient.
      expect(peakOf(many, [1000])).toBeLessThan(28);
    });

    test('a gradient is freed as soon as it is used or added to another', () => {
      const x = waves(backend(), [1000]);
      const uses = Array.from({ length: 20 }, (_, i) => i);
      const many = () => vjp(() => uses.map((i) => sum(mul(x, i))).reduce((total, y) => add(total, y)), [x]);
      expect(peakOf(many, [1000])).toBeLessThan(28);
    });

    test('hvp leaves only its products', () => {
      const [x, y] = [waves(backend(), [20, 30]), waves(backend(), [30])];
      const { stats } = backend();
      const before = stats.liveBytes;
      const products = hvp(() => bumpy(x, y), [x, y], [x, y]);
      for (const t of products) t?.dispose();
      expect(stats.liveBytes).toBe(before);
    });

    test('a failure inside frees what was made and stops recording', () => {
      const x = of(1, 2);
      const before = backend().stats.liveBytes;
      const failing = () =>
        vjp(() => {
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
      vjp(() => {
        inner = square(x);
        return sum(inner);
      }, [x]);
      expect(() => square(inner!)).toThrow('f32[2] was used after it was freed; return it from its scope');
    });
  });
});
