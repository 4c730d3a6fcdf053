import { known } from '../op.ts';
import { rowwise } from '../rowwise.ts';
import type { Tensor } from '../tensor.ts';
import { add, div, mul, sub } from './arithmetic.ts';
import { equal, less, where } from './comparison.ts';
import { exp, log } from './functions.ts';
import { columnOf, countOf, rowMax, rowSum } from './rows.ts';

const labels = { kind: 'index', below: 4 } as const;

/**
 * g·(softmax(x) − onehot(label)), zero in unscored rows and `none` times it where the label is no class. g f32
 * [..], x f32 [.., v], labels i32 [..] → f32 [.., v].
 */
const crossEntropyBackward = rowwise(
  'crossEntropyBackward',
  ['cell', 'row', 'index', 'number'],
  (g, x, label, none) => {
    const e = exp(sub(x, rowMax(x)));
    const given = where(less(label, countOf(x)), g, none);
    const scored = where(less(label, 0), 0, given);
    return sub(mul(div(scored, rowSum(e)), e), where(equal(columnOf(x), label), scored, 0));
  },
  { domains: [undefined, undefined, labels], numbers: [0] },
);

const crossEntropyOp = rowwise(
  'crossEntropy',
  ['row', 'index', 'number'],
  (x, label, none) => {
    const top = rowMax(x);
    const total = add(top, log(rowSum(exp(sub(x, top)))));
    const own = rowSum(where(equal(columnOf(x), label), x, 0));
    const loss = where(less(label, countOf(x)), sub(total, own), none);
    return where(less(label, 0), 0, loss);
  },
  {
    vjp: ([g], [logits, label], _, { numbers: [none] }) => [
      () => crossEntropyBackward(g, logits, label, none),
      null,
    ],
    numbers: [0],
    samples: [{ x: [5, 4] }],
    domains: [undefined, labels],
    known: [known('[[7], [7]] [0, -100]', [0, 0])],
  },
);

/**
 * −ln softmax(logits)[label] of each row; 0 where the label is negative (−100: not scored), and NaN, as is
 * the gradient, for one from v on, which is an error on a `checked` backend. logits f32 [.., v], labels
 * i32 [..] → f32 [..].
 */
export const crossEntropy = (logits: Tensor, label: Tensor): Tensor =>
  crossEntropyOp(logits, label, Number.NaN);
