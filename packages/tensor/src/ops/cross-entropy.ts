import { known } from '../op.ts';
import { rowwise } from '../rowwise.ts';
import { add, div, mul, sub } from './arithmetic.ts';
import { equal, less, where } from './comparison.ts';
import { exp, log } from './functions.ts';
import { columnOf, rowMax, rowSum } from './rows.ts';

const labels = { kind: 'index', below: 4 } as const;

/**
 * g·(softmax(x) − onehot(label)), zero in unscored rows. g f32 [..], x f32 [.., v], labels i32 [..] → f32
 * [.., v].
 */
const crossEntropyBackward = rowwise(
  'crossEntropyBackward',
  ['cell', 'row', 'index'],
  (g, x, label) => {
    const e = exp(sub(x, rowMax(x)));
    const scored = where(less(label, 0), 0, g);
    return sub(mul(div(scored, rowSum(e)), e), where(equal(columnOf(x), label), scored, 0));
  },
  { domains: [undefined, undefined, labels] },
);

/**
 * −ln softmax(logits)[label] of each row; 0 where the label is negative (−100: not scored); a label
 * from v on is an error on a `checked` backend. logits f32 [..,
 * v], labels i32 [..] → f32 [..].
 */
export const crossEntropy = rowwise(
  'crossEntropy',
  ['row', 'index'],
  (x, label) => {
    const top = rowMax(x);
    const total = add(top, log(rowSum(exp(sub(x, top)))));
    const own = rowSum(where(equal(columnOf(x), label), x, 0));
    return where(less(label, 0), 0, sub(total, own));
  },
  {
    vjp: ([g], [logits, label]) => [() => crossEntropyBackward(g, logits, label), null],
    samples: [{ x: [5, 4] }],
    domains: [undefined, labels],
    known: [known('[[7], [7]] [0, -100]', [0, 0])],
  },
);
