import { abs, add, mul, sub, sum, type Tensor } from '@flex/tensor';
import { apply, defineOp, opTable, type Vjp } from '@flex/tensor/kernel';
import { type DrawnInput, randomFrom } from '@flex/tensor/testing';
import { describe, expect, test } from 'vitest';
import { expectDerivatives } from './derivatives.ts';

const at = (...data: number[]): DrawnInput => ({
  shape: [data.length],
  dtype: 'f32',
  data: Float64Array.from(data),
});
const check = (f: (x: Tensor, y: Tensor) => Tensor, x: DrawnInput, y: DrawnInput) =>
  expectDerivatives(([a, b]) => f(a, b), [x, y], randomFrom(1), 'f');

describe('a derivative', () => {
  test.each([1e-5, -1e-5, 2e-7, -2e-7])(
    'is found %d beside a kink where two inputs meet',
    async (distance) => {
      await check((x, y) => sum(abs(sub(x, y))), at(0.5, 0.25), at(0.5 + distance, 1));
    },
  );

  test.each<[string, Vjp<object>]>([
    ['wrong', ([g]) => [() => add(g, g)]],
    ['missing', () => [null]],
  ])('that is %s is seen, whichever width decides', async (kind, vjp) => {
    const op = defineOp({ ...opTable.get('reshape')!, name: `${kind}Copy`, vjp });
    const f = (x: Tensor, y: Tensor) => sum(mul(apply(op, [x], { shape: x.shape }), y));
    await expect(check(f, at(0.5, 0.25), at(1, 2))).rejects.toThrow('derivative of f along input 0');
  });
});
