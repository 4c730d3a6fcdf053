import { add, exp, mul, scope, silu, square, sum, type Tensor, tanh, tensor } from '@flex/tensor';
import { describeEachBackend } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { hvp } from './hvp.ts';
import { recompute } from './recompute.ts';
import { numbers, waves } from './testing/functions.ts';
import { treeLeaves } from './tree.ts';
import { grad, valueAndGrad } from './value-and-grad.ts';

describeEachBackend((backend) => {
  const of = (...data: number[]): Tensor => tensor(backend(), data, [data.length]);

  type How = (f: () => Tensor) => Tensor;
  const plain: How = (f) => f();
  /** Two blocks, the first of two inputs. */
  const network =
    (how: How) =>
    ({ x, w }: { x: Tensor; w: Tensor }): Tensor => {
      const hidden = how(() => silu(mul(tanh(mul(x, w)), w)));
      return sum(square(how(() => add(exp(hidden), silu(hidden)))));
    };

  test('gives the same bits as without, in gradients and in their gradients', async () => {
    const draw = (phase: number) => ({
      x: waves(backend(), [6, 5], phase),
      w: waves(backend(), [5], phase + 1),
    });
    const [at, v] = [0, 2].map(draw);
    const all = (how: How) => {
      const { value, grads } = valueAndGrad(network(how), at);
      return Promise.all([value, ...treeLeaves([grads, hvp(network(how), at, v)])].map(numbers));
    };
    expect(await all(recompute)).toEqual(await all(plain));
  });

  test('has no gradient in what its function does not reach', async () => {
    const f = ([x]: readonly Tensor[]) => sum(recompute(() => square(x)));
    const [gx, gy] = grad(f, [of(1, 2), of(3, 4)]);
    expect(await numbers(gx)).toEqual([2, 4]);
    expect(await numbers(gy)).toEqual([0, 0]);
  });

  test('may return its input', async () => {
    const f = (x: Tensor) => sum(square(recompute(() => x)));
    expect(await numbers(grad(f, of(1, 2)))).toEqual([2, 4]);
  });

  test('needs less memory at the peak', () => {
    const layerOf = (y: Tensor, how: How) => how(() => tanh(silu(tanh(silu(tanh(y))))));
    const deep = (how: How): number => {
      backend().resetPeak();
      const before = backend().stats.liveBytes;
      scope(() =>
        grad(
          (x: Tensor) => {
            let y = x;
            for (let layer = 0; layer < 6; layer++) y = layerOf(y, how);
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
