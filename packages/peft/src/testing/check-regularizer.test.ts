import { treeLeaves } from '@flex/autograd';
import { abs, add, div, keep, mul, square, sum, type Tensor, tensor } from '@flex/tensor';
import { type AnyOp, apply } from '@flex/tensor/kernel';
import { expect, it } from 'vitest';
import type { Adapters } from '../adapters.ts';
import type { Regularizer } from '../regularizer.ts';
import { l2 } from '../regularizers/l2.ts';
import { checkRegularizer } from './index.ts';

const total = (adapters: Adapters, f: (w: Tensor) => Tensor) =>
  treeLeaves(adapters)
    .map((w) => sum(f(w)))
    .reduce(add);
const of = (penalty: Regularizer['penalty'], rest: Partial<Regularizer> = {}): Regularizer => ({
  penalty,
  ...rest,
});

const wrongGradient: AnyOp = {
  kind: 'composite',
  name: 'wrongGradient',
  infer: ([x]) => x,
  composed: ([x]) => square(x),
  vjp: (_, [x]) => [() => mul(x, 3)],
  samples: [],
};

it('a sound regularizer passes', async () => {
  await checkRegularizer(of((adapters) => total(adapters, abs)));
  await checkRegularizer(l2());
});

let calls = 0;
const broken: [string, Regularizer, string][] = [
  ['that gives a number for each parameter', of((a) => square(treeLeaves(a)[0])), 'must be f32[]'],
  ['that divides by B', of((a) => total(a, (w) => div(w, w))), 'NaN where B = 0'],
  ['that counts its calls', of((a) => mul(total(a, square), ++calls)), 'the same number each time'],
  [
    'that frees the adapter',
    of((a) => {
      const value = total(a, square);
      treeLeaves(a)[1].dispose();
      return value;
    }),
    'was used after it was freed',
  ],
  [
    'that keeps a tensor at every call',
    of((a) => {
      keep(tensor(treeLeaves(a)[0].backend, [1], [1]));
      return total(a, square);
    }),
    'bytes are left',
  ],
  [
    'whose diagnostics are no numbers',
    of((a) => total(a, square), { diagnostics: async () => ({ x: Number.NaN }) }),
    'diagnostic x',
  ],
  ['whose gradient is wrong', of((a) => total(a, (w) => apply(wrongGradient, [w], {}))), 'gradient must be'],
];

it.each(broken)('a regularizer %s does not', async (_, regularizer, claim) => {
  await expect(checkRegularizer(regularizer)).rejects.toThrow(claim);
});
