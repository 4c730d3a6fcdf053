import { add, exp, matmul, mul, type Tensor, tanh, tensor } from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { jvp } from './jvp.ts';
import { numbers, waves } from './testing/functions.ts';
import { innerProduct } from './tree.ts';
import { vjp } from './vjp.ts';

describeEachBackend((backend) => {
  const draw = (phase: number) =>
    new Map([
      ['w', waves(backend(), [3, 4], phase)],
      ['x', waves(backend(), [4, 2], phase + 1)],
    ]);
  /** f32 [3, 2]: nothing linear. */
  const f = (p: ReadonlyMap<string, Tensor>) => {
    const y = tanh(matmul(p.get('w')!, p.get('x')!));
    return mul(y, exp(add(y, y)));
  };

  test('the product of e^(2x) along v is 2v·e^(2x)', async () => {
    const x = tensor(backend(), [0.5, -1], [2]);
    const { value, tangent } = jvp((t) => exp(mul(t, 2)), x, tensor(backend(), [1, 10], [2]));
    expectClose(await numbers(value), [Math.exp(1), Math.exp(-2)], 1e-5);
    expectClose(await numbers(tangent), [2 * Math.exp(1), 20 * Math.exp(-2)], 1e-5);
  });

  test('is the adjoint of vjp: ⟨u, Jv⟩ = ⟨Jᵀu, v⟩', async () => {
    const [at, v] = [0, 2].map(draw);
    const u = waves(backend(), [3, 2], 5);
    const { value, tangent } = jvp(f, at, v);
    expect(await numbers(value)).toEqual(await numbers(f(at)));
    const left = await innerProduct(u, tangent).item();
    const right = await innerProduct(vjp(f, at, u).grads, v).item();
    expectClose([left], [right], backend().name === 'reference' ? 1e-12 : 1e-5);
    expect(Math.abs(left)).toBeGreaterThan(0.1);
  });

  test('leaves only its value and its tangent', () => {
    const [at, v] = [0, 2].map(draw);
    const before = backend().stats.liveBytes;
    const { value, tangent } = jvp(f, at, v);
    for (const t of [value, tangent]) t.dispose();
    expect(backend().stats.liveBytes).toBe(before);
  });
});
