import { add, exp, mul, reshape, square, sum, swiglu, type Tensor, tensor } from '@flex/tensor';
import { elementwise, type Recorder, withRecorder } from '@flex/tensor/kernel';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { numbers } from './testing/functions.ts';
import { grad } from './value-and-grad.ts';
import { vjp } from './vjp.ts';

const productOfFour = elementwise('test productOfFour', (a, b, c, d) => mul(mul(a, b), mul(c, d)));

describeEachBackend((backend) => {
  const of = (...data: number[]): Tensor => tensor(backend(), data, [data.length]);

  test('follows the chain rule: d/dx e^(3x²) = 6x·e^(3x²)', async () => {
    const xs = [0.5, -1, 0.25];
    const { value, grads } = vjp((x) => sum(exp(mul(square(x), 3))), of(...xs));
    expectClose(
      await numbers(grads),
      xs.map((v) => 6 * v * Math.exp(3 * v * v)),
      1e-5,
    );
    expectClose([await value.item()], [xs.reduce((total, v) => total + Math.exp(3 * v * v), 0)], 1e-5);
  });

  test('adds up what a tensor used twice gives, in one op and in several', async () => {
    expectClose(await numbers(grad((x) => sum(mul(mul(x, x), x)), of(2, -3))), [12, 27], 1e-5);
    expectClose(await numbers(grad((x) => sum(add(x, x)), of(2, -3))), [2, 2], 1e-6);
  });

  test('adds up through reshapes and through both halves of a diamond', async () => {
    const f = (x: Tensor) => {
      const y = square(x);
      return sum(mul(reshape(y, [2, 2]), reshape(mul(y, 5), [2, 2])));
    };
    expectClose(
      await numbers(grad(f, of(1, 2, 3, 4))),
      [1, 2, 3, 4].map((v) => 20 * v ** 3),
      1e-5,
    );
  });

  test('takes for constant what f was not called with, also where it is the parameter itself', async () => {
    const x = of(2, -3);
    expect(await numbers(grad((at) => sum(mul(at, x)), x))).toEqual([2, -3]);
    expect(await numbers(grad((at) => sum(grad((y) => sum(mul(y, mul(x, at))), at)), x))).toEqual([2, -3]);
    expect(await numbers(grad(() => sum(square(x)), x))).toEqual([0, 0]);
  });

  test('gives each place of a tensor that stands at several a gradient of its own', async () => {
    const x = of(2, -3);
    const { a, b } = grad(({ a, b }) => sum(mul(square(a), b)), { a: x, b: x });
    expect(await numbers(a)).toEqual([8, 18]);
    expect(await numbers(b)).toEqual([4, 9]);
  });

  test('gives gradients that are tensors of their own, though add hands one on to both of its inputs', async () => {
    const v = of(5, 7);
    const { x, y } = vjp(({ x, y }) => add(x, y), { x: of(1, 2), y: of(3, 4) }, v).grads;
    x.dispose();
    expect(await numbers(y)).toEqual([5, 7]);
    y.dispose();
    expect(await numbers(v)).toEqual([5, 7]);
  });

  test('computes several gradients of an op in one kernel, as long as eight bindings are enough', () => {
    const kernels: [string, number][] = [];
    const count: Recorder = {
      record(op, inputs, outputs) {
        if (op.kind === 'kernel') kernels.push([op.name, inputs.length + outputs.length]);
      },
    };
    withRecorder(count, () => {
      grad(({ x, y }) => sum(swiglu(x, y)), { x: of(1, 2), y: of(3, 4) });
      const four = { a: of(1), b: of(2), c: of(3), d: of(4) };
      grad(({ a, b, c, d }) => sum(productOfFour(a, b, c, d)), four);
    });
    expect(kernels.map(([name]) => name)).toContain('swiglu.d0d1');
    expect(kernels.map(([name]) => name)).toContain('test productOfFour.d3');
    expect(Math.max(...kernels.map(([, bindings]) => bindings))).toBeLessThanOrEqual(8);
  });

  test('multiplies with a v of the value’s shape, and refuses any other', async () => {
    const x = of(1, 2, 3);
    expect(await numbers(vjp(square, x, of(1, 10, 100)).grads)).toEqual([2, 40, 600]);
    expect(() => vjp(square, x, of(1, 2))).toThrow("v must have the value's shape, f32[3], got f32[2]");
    expect(() => vjp(square, x)).toThrow('a gradient is of one number; f gave f32[3]');
  });

  test('differentiates gradients: x³ has 3x², 6x and 6', async () => {
    const xs = [2, -1.5];
    const cube = (x: Tensor) => sum(mul(square(x), x));
    const slope = (x: Tensor) => sum(grad(cube, x));
    const curvature = (x: Tensor) => sum(grad(slope, x));
    for (const [f, want] of [
      [cube, (v: number) => 3 * v * v],
      [slope, (v: number) => 6 * v],
      [curvature, () => 6],
    ] as const) {
      expectClose(await numbers(grad(f, of(...xs))), xs.map(want), 1e-5);
    }
  });
});
