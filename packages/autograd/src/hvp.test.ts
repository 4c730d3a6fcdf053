import { mul, type Shape, square, sum, type Tensor, tensor } from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { hvp } from './hvp.ts';
import { bumpy, numbers, waves } from './testing/functions.ts';
import { innerProduct } from './tree.ts';

describeEachBackend((backend) => {
  const of = (...data: number[]): Tensor => tensor(backend(), data, [data.length]);
  const shapes: readonly Shape[] = [[3, 4], [4]];
  const draw = (phase: number) => {
    const [x, y] = shapes.map((shape) => waves(backend(), shape, phase));
    return { x, y };
  };
  const f = ({ x, y }: ReturnType<typeof draw>) => bumpy(x, y);

  test('is the Hessian’s product: Σ x²y at (x, y)', async () => {
    const [hx, hy] = hvp(([x, y]) => sum(mul(square(x), y)), [of(1, 2), of(3, 4)], [of(1, 1), of(10, 10)]);
    expectClose(await numbers(hx), [2 * 3 + 2 * 1 * 10, 2 * 4 + 2 * 2 * 10], 1e-5);
    expectClose(await numbers(hy), [2 * 1, 2 * 2], 1e-5);
  });

  test('is symmetric: ⟨u, Hv⟩ = ⟨v, Hu⟩', async () => {
    const [at, u, v] = [0, 1, 2].map(draw);
    const left = await innerProduct(u, hvp(f, at, v)).item();
    const right = await innerProduct(v, hvp(f, at, u)).item();
    expectClose([left], [right], backend().name === 'reference' ? 1e-12 : 1e-5);
    expect(Math.abs(left)).toBeGreaterThan(0.1);
  });

  test('is xᵀ·∂²f for a direction that is the parameter itself: 6x² of Σ x³', async () => {
    const x = of(1, -2);
    expectClose(await numbers(hvp((at) => sum(mul(square(at), at)), x, x)), [6, 24], 1e-5);
  });

  test('is zero where the gradient is constant', async () => {
    expect(await numbers(hvp((x) => sum(x), of(1, 2), of(1, 1)))).toEqual([0, 0]);
    expect(await numbers(hvp(() => sum(of(1)), of(1, 2), of(1, 1)))).toEqual([0, 0]);
  });

  test('leaves only its products', () => {
    const [at, v] = [0, 1].map(draw);
    const before = backend().stats.liveBytes;
    const { x, y } = hvp(f, at, v);
    expect(backend().stats.liveBytes).toBeGreaterThan(before);
    for (const t of [x, y]) t.dispose();
    expect(backend().stats.liveBytes).toBe(before);
  });
});
