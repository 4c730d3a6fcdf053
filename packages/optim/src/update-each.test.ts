import { addScaled, openReference, type Tensor, tensor } from '@flex/tensor';
import { expect, test } from 'vitest';
import { type UpdateInfo, updateEach, updateStacks, zeroState } from './optimizer.ts';

const backend = openReference();
const numbers = (values: readonly number[], shape: readonly number[]) => tensor(backend, values, shape);
const params = new Map([
  ['a', numbers([1, 2], [1, 2])],
  ['b', numbers([3, 4], [2, 1])],
]);
const grads = new Map([
  ['a', numbers([10, 20], [1, 2])],
  ['b', numbers([30, 40], [2, 1])],
]);
const info: UpdateInfo = { step: 1, lr: 0.1, lrOf: (name) => (name === 'b' ? 0.5 : 0.1) };
const inputs = () => ({ params, grads, state: zeroState(params, 'm') });

/** m ← m + g, p ← p − lr·m. */
const rule = ({ param, grad, lr }: { param: Tensor; grad: Tensor; lr: number }, m: Tensor) => {
  const sum = addScaled(m, grad, 1);
  return [addScaled(param, sum, -lr), sum];
};

test('each parameter is moved by a rule of its own shape, at its own rate, and as in a stack', async () => {
  const shapes: string[] = [];
  const each = updateEach('test', ['m'], inputs(), info, (one, m) => {
    shapes.push(`${one.name} ${one.param.shape.join('×')} ${m.shape.join('×')}`);
    return rule(one, m);
  });
  expect(shapes).toEqual(['a 1×2 1×2', 'b 2×1 2×1']);
  const together = updateStacks('test', ['m'], inputs(), info, rule);
  for (const { params, state } of [each, together]) {
    expect([...(await params.get('a')!.data())]).toEqual([0, 0]);
    expect([...(await params.get('b')!.data())]).toEqual([-12, -16]);
    expect([...(await state.get('m.b')!.data())]).toEqual([30, 40]);
    expect(params.get('b')!.shape).toEqual([2, 1]);
  }
});
