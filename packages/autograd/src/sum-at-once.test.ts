import { add, exp, matmul, mul, scope, square, sum, type Tensor, tanh } from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { hvp } from './hvp.ts';
import { sumAtOnce } from './sum-at-once.ts';
import { numbers, waves } from './testing/functions.ts';
import { treeLeaves } from './tree.ts';
import { grad, valueAndGrad } from './value-and-grad.ts';

describeEachBackend((backend) => {
  type How = (fs: readonly (() => Tensor)[]) => Tensor;
  const plain: How = (fs) => fs.map((f) => f()).reduce((total, value) => add(total, value));
  const draw = (phase: number) => ({
    x: waves(backend(), [6, 5], phase),
    w: waves(backend(), [5, 5], phase + 1),
    unused: waves(backend(), [2], phase),
  });
  /** Three functions of x and w and of a value between, whose sum is used twice. */
  const network =
    (how: How) =>
    ({ x, w }: ReturnType<typeof draw>): Tensor => {
      const hidden = tanh(matmul(x, w));
      const total = how([
        () => sum(square(hidden)),
        () => sum(exp(mul(hidden, x))),
        () => sum(tanh(matmul(hidden, w))),
      ]);
      return add(square(total), mul(total, 0.3));
    };
  const tolerance = () => (backend().name === 'reference' ? 1e-13 : 1e-5);

  test('has the value and the gradients of a sum, and their gradients', async () => {
    const [at, v] = [draw(0), draw(2)];
    const all = async (how: How) => {
      const { value, grads } = valueAndGrad(network(how), at);
      const found = treeLeaves([value, grads, hvp(network(how), at, v)]);
      return (await Promise.all(found.map(numbers))).flat();
    };
    expectClose(await all(sumAtOnce), await all(plain), tolerance());
  });

  test('is the sum where nothing records, or where nothing depends on what is differentiated', async () => {
    const { x, w } = draw(0);
    const terms = [() => sum(square(x)), () => sum(exp(w))];
    const want = await numbers(plain(terms));
    expect(await numbers(sumAtOnce(terms))).toEqual(want);
    const { value, grads } = valueAndGrad((at: Tensor) => add(sumAtOnce(terms), sum(at)), draw(1).unused);
    expectClose(await numbers(value), [want[0] + Math.sin(1) + Math.sin(2.7)], 1e-5);
    expect(await numbers(grads)).toEqual([1, 1]);
  });

  test('holds what one of its terms makes at a time, and leaves nothing behind', () => {
    const x = waves(backend(), [1000]);
    const term = (x: Tensor) => () => sum(square(tanh(exp(tanh(x)))));
    const peakOf = (how: How, terms: number): number => {
      const before = backend().stats.liveBytes;
      backend().resetPeak();
      scope(() => void grad((x: Tensor) => add(how(Array(terms).fill(term(x))), sum(x)), x));
      expect(backend().stats.liveBytes).toBe(before);
      return backend().stats.peakBytes - before;
    };
    expect(peakOf(sumAtOnce, 20)).toBe(peakOf(sumAtOnce, 10));
    expect(peakOf(sumAtOnce, 20)).toBeLessThan(0.25 * peakOf(plain, 20));
  });

  test('an error in a term stops it, and frees what was made', () => {
    const x = waves(backend(), [10]);
    const before = backend().stats.liveBytes;
    const failing = () => {
      square(x);
      throw new Error('inside a term');
    };
    expect(() => grad((x: Tensor) => sumAtOnce([() => sum(square(x)), failing]), x)).toThrow('inside a term');
    expect(backend().stats.liveBytes).toBe(before);
  });
});
