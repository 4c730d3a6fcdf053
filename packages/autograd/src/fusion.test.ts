import {
  abs,
  add,
  clamp,
  div,
  exp,
  greater,
  log,
  maximum,
  minimum,
  mul,
  neg,
  pow,
  rsqrt,
  sigmoid,
  silu,
  sqrt,
  square,
  sub,
  swiglu,
  type Tensor,
  tanh,
  tensor,
  where,
} from '@flex/tensor';
import { type Elementwise, type Expr, elementwise } from '@flex/tensor/kernel';
import { arbitraryRandom, describeEachBackend, drawUniform, expectClose } from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { innerProduct, treeLeaves } from './tree.ts';
import { grad } from './value-and-grad.ts';
import { vjp } from './vjp.ts';

/** A function of two operands as a tree of ops, which runs on tensors and composes on expressions. */
type Tree =
  | { readonly leaf: 0 | 1 | number; readonly constant: boolean }
  | { readonly op: string; readonly args: readonly Tree[] };

type Any = Tensor & Expr & number;
const unary = { exp, log, sqrt, rsqrt, tanh, sigmoid, silu, square, abs, neg };
const binary = { add, sub, mul, div, maximum, minimum, pow, swiglu, greater };
const ternary = { where, clamp };
const all = { ...unary, ...binary, ...ternary } as unknown as Record<string, Elementwise<Expr[]>>;
/** What keeps every value in a range where all functions are smooth enough: 0.5 + σ. */
const tame = (x: Any): Any => add(0.5, sigmoid(x)) as Any;

const trees: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ leaf: fc.constantFrom(0, 1), constant: fc.constant(false) }),
    fc.record({ leaf: fc.constantFrom(0.5, 1, 1.75), constant: fc.constant(true) }),
    fc.record({ op: fc.constantFrom(...Object.keys(unary)), args: fc.tuple(tie('tree')) }),
    fc.record({ op: fc.constantFrom(...Object.keys(binary)), args: fc.tuple(tie('tree'), tie('tree')) }),
    fc.record({
      op: fc.constantFrom(...Object.keys(ternary)),
      args: fc.tuple(tie('tree'), tie('tree'), tie('tree')),
    }),
  ),
})).tree;

function evaluate(tree: Tree, operands: readonly [Any, Any]): Any {
  if ('leaf' in tree)
    return tree.constant ? (add(mul(operands[0], 0), tree.leaf) as Any) : operands[tree.leaf];
  const args = tree.args.map((arg) => tame(evaluate(arg, operands)));
  return all[tree.op](...args) as unknown as Any;
}

let count = 0;

describe('an elementwise op composed of others', () => {
  describeEachBackend((backend) => {
    test('has the value and the gradients of the ops run one by one', () =>
      fc.assert(
        fc.asyncProperty(trees, arbitraryRandom, async (tree, random) => {
          const shape = [3, 5];
          const fused = elementwise(`fused ${count++}`, (x, y) =>
            evaluate(tree, [x as Any, y as Any]),
          ) as unknown as (x: Tensor, y: Tensor) => Tensor;
          const plain = (x: Tensor, y: Tensor): Tensor => evaluate(tree, [x as Any, y as Any]);
          const draws = [0, 1, 2].map(() => drawUniform(shape, random).data);
          const run = async (f: typeof plain) => {
            const [x, y, v] = draws.map((data) => tensor(backend(), data, shape));
            const value = (p: { x: Tensor; y: Tensor }) => f(p.x, p.y);
            const first = vjp(value, { x, y }, v);
            const slope = (p: { x: Tensor; y: Tensor }) =>
              innerProduct(vjp(value, p, v).grads, { x: v, y: v });
            const second = grad(slope, { x, y });
            const tensors = treeLeaves([first.value, first.grads, second]);
            return Promise.all(tensors.map(async (t) => Array.from(await t.data())));
          };
          const [got, want] = [await run(fused), await run(plain)];
          const tolerance = backend().name === 'reference' ? 1e-11 : 2e-4;
          got.forEach((numbers, i) => {
            expectClose(numbers, want[i], tolerance, `part ${i} of ${JSON.stringify(tree)}`, shape);
          });
        }),
        { numRuns: backend().name === 'reference' ? 60 : 12 },
      ));
  });
});
