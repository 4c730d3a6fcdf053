import { add, exp, mul, scope, silu, square, sum, type Tensor, tanh, tensor } from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { hvp } from './hvp.ts';
import { recompute } from './recompute.ts';
import { numbers, waves } from './testing/functions.ts';
import { treeLeaves } from './tree.ts';
import { grad, valueAndGrad } from './value-and-grad.ts';

describeEachBackend((backend) => {
  const of = (...data: number[]): Tensor => tensor(backend(), data, [data.length]);

  type How = (f: (xs: readonly Tensor[]) => Tensor, xs: readonly Tensor[]) => Tensor;
  const plain: How = (f, xs) => f(xs);
  /** Two blocks, the first of two inputs. */
  const network =
    (how: How) =>
    ({ x, w }: { x: Tensor; w: Tensor }): Tensor => {
      const hidden = how(([a, b]) => silu(mul(tanh(mul(a, b)), b)), [x, w]);
      return sum(square(how(([h]) => add(exp(h), silu(h)), [hidden])));
    };

  test('gives the same bits as without, and second derivatives that differ in the order of sums alone', async () => {
    const draw = (phase: number) => ({
      x: waves(backend(), [6, 5], phase),
      w: waves(backend(), [5], phase + 1),
    });
    const [at, v] = [0, 2].map(draw);
    const first = (how: How) => {
      const { value, grads } = valueAndGrad(network(how), at);
      return Promise.all([value, ...treeLeaves(grads)].map(numbers));
    };
    expect(await first(recompute)).toEqual(await first(plain));
    const second = async (how: How) =>
      (await Promise.all(treeLeaves(hvp(network(how), at, v)).map(numbers))).flat();
    const tolerance = backend().name === 'reference' ? 1e-13 : 1e-5;
    expectClose(await second(recompute), await second(plain), tolerance);
  });

  test('has no gradient in what its function does not reach, and counts a tensor listed twice once', async () => {
    const f = ([x, y]: readonly Tensor[]) => sum(recompute(([a]) => square(a), [x, x, y]));
    const [gx, gy] = grad(f, [of(1, 2), of(3, 4)]);
    expect(await numbers(gx)).toEqual([2, 4]);
    expect(await numbers(gy)).toEqual([0, 0]);
  });

  test('may return its input', async () => {
    const f = (x: Tensor) => sum(square(recompute((y: Tensor) => y, x)));
    expect(await numbers(grad(f, of(1, 2)))).toEqual([2, 4]);
  });

  test('needs less memory at the peak', () => {
    const deep = (how: How): number => {
      backend().resetPeak();
      const before = backend().stats.liveBytes;
      scope(() =>
        grad(
          (x: Tensor) => {
            let y = x;
            for (let layer = 0; layer < 6; layer++) y = how(([h]) => tanh(silu(tanh(silu(tanh(h))))), [y]);
            return sum(y);
          },
          waves(backend(), [1000]),
        ),
      );
      return backend().stats.peakBytes - before;
    };
    // 30 values against 6 and the 5 of one layer, plus gradients.
    expect(deep(recompute)).toBeLessThan(0.6 * deep(plain));
  });
});
