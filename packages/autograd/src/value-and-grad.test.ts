import { add, crossEntropy, exp, mul, square, sum, type Tensor, tanh, tensor } from '@flex/tensor';
import { describeEachBackend } from '@flex/tensor/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { numbers, waves } from './testing/functions.ts';
import { mapTree, type Tree, treeLeaves } from './tree.ts';
import { grad, valueAndGrad } from './value-and-grad.ts';

/** Makes a tree whose leaves are what `leaf` makes of their numbers. */
type Plan = (leaf: (n: number) => Tensor) => Tree;

const { plan } = fc.letrec<{ plan: Plan; leaf: Plan }>((tie) => ({
  leaf: fc.nat(1000).map(
    (n): Plan =>
      (make) =>
        make(n),
  ),
  plan: fc.oneof(
    { depthSize: 'small', maxDepth: 3 },
    tie('leaf'),
    fc.array(tie('plan'), { minLength: 1, maxLength: 3 }).map(
      (parts): Plan =>
        (make) =>
          parts.map((p) => p(make)),
    ),
    fc.array(tie('plan'), { minLength: 1, maxLength: 3 }).map(
      (parts): Plan =>
        (make) =>
          new Map(parts.map((p, i) => [`key ${i}`, p(make)])),
    ),
    fc.tuple(tie('plan'), tie('plan')).map(
      ([a, b]): Plan =>
        (make) => ({ a: a(make), b: b(make) }),
    ),
  ),
}));

/** A number in which every leaf meets its neighbour. */
const ring = (leaves: readonly Tensor[]): Tensor =>
  leaves
    .map((x, i) => sum(mul(tanh(x), exp(leaves[(i + 1) % leaves.length]))))
    .reduce((total, part) => add(total, part));

/** Where each leaf stands: the same for two trees of one structure. */
const places = (tree: Tree): unknown => {
  let n = 0;
  const number = new Map(treeLeaves(tree).map((t) => [t, n++]));
  const walk = (x: unknown): unknown => {
    if (number.has(x as Tensor)) return number.get(x as Tensor);
    if (Array.isArray(x)) return x.map(walk);
    if (x instanceof Map) return new Map([...x].map(([key, child]) => [key, walk(child)]));
    return Object.fromEntries(Object.entries(x as object).map(([key, child]) => [key, walk(child)]));
  };
  return walk(tree);
};

describeEachBackend((backend) => {
  const of = (...data: number[]): Tensor => tensor(backend(), data, [data.length]);

  test('the gradient of a tree has its structure and is the gradients of its leaves one by one', () =>
    fc.assert(
      fc.asyncProperty(plan, async (make) => {
        const params = make((n) => waves(backend(), [3], n));
        const grads = grad((tree) => ring(treeLeaves(tree)), params);
        expect(places(grads)).toEqual(places(params));
        const leaves = treeLeaves(params);
        for (const [i, g] of treeLeaves(grads).entries()) {
          const alone = grad((x) => ring(leaves.with(i, x)), leaves[i]);
          expect(await numbers(g)).toEqual(await numbers(alone));
        }
      }),
      { numRuns: 15 },
    ));

  test('valueAndGrad(f, x) is f(x) and grad(f, x), to the bit', async () => {
    const params = { w: waves(backend(), [4]), rest: [waves(backend(), [4], 1)] };
    const f = ({ w, rest }: typeof params) => ring([w, ...rest]);
    const { value, grads } = valueAndGrad(f, params);
    expect(await value.item()).toBe(await f(params).item());
    const again = grad(f, params);
    for (const [i, g] of treeLeaves(grads).entries()) {
      expect(await numbers(g)).toEqual(await numbers(treeLeaves(again)[i]));
    }
  });

  test('a label that is no class has a cross-entropy of NaN, and so has its gradient', async () => {
    const logits = tensor(backend(), [1, 2, 3, 4, 5, 6, 7, 8, 9], [3, 3]);
    const labels = tensor(backend(), [2, 3, -100], [3], 'i32');
    const loss = (x: Tensor) => crossEntropy(x, labels);
    expect(Array.from(await loss(logits).data(), Number.isNaN)).toEqual([false, true, false]);
    const isNone = Array.from(await grad((x) => sum(loss(x)), logits).data(), Number.isNaN);
    expect(isNone).toEqual([...Array(3).fill(false), ...Array(3).fill(true), ...Array(3).fill(false)]);
  });

  test('what f does not use has a gradient of zeros', async () => {
    const params = new Map([
      ['w', of(1, 2)],
      ['unused', tensor(backend(), [7, 7], [1, 2])],
    ]);
    const { value, grads } = valueAndGrad((p) => sum(square(p.get('w')!)), params);
    expect(await value.item()).toBe(5);
    expect(await numbers(grads.get('w')!)).toEqual([2, 4]);
    expect(grads.get('unused')!.shape).toEqual([1, 2]);
    expect(await numbers(grads.get('unused')!)).toEqual([0, 0]);
  });

  test('f may hand out more than its value, which lives on', async () => {
    const { value, grads } = valueAndGrad(
      (x) => {
        const y = square(x);
        return [sum(y), { y, note: 'aux' }];
      },
      of(1, 2),
    );
    expect(value[1].note).toBe('aux');
    expect(await numbers(value[1].y)).toEqual([1, 4]);
    expect(await numbers(grads)).toEqual([2, 4]);
  });

  test('grad leaves nothing but the gradient', () => {
    const x = of(1, 2);
    const before = backend().stats.liveBytes;
    grad((y) => [sum(square(y)), square(y)], x).dispose();
    expect(backend().stats.liveBytes).toBe(before);
  });

  test('whole numbers are no parameters', () => {
    const ids = tensor(backend(), [1, 2], [2], 'i32');
    expect(() => grad(() => sum(of(1)), [of(1), ids])).toThrow('must be of real numbers, got i32[2]');
  });

  test('mapTree meets tensors by their keys, and refuses trees of another structure', async () => {
    const [x, y] = [of(1, 2), of(10, 20)];
    const a = new Map([
      ['x', x],
      ['y', y],
    ]);
    const turned = new Map([...a].reverse());
    const sums = mapTree((p, q) => add(p, q), a, turned);
    expect(await numbers(sums.get('x')!)).toEqual([2, 4]);
    expect(await numbers(sums.get('y')!)).toEqual([20, 40]);
    expect(() => mapTree(add, a, new Map([['x', x]]))).toThrow('mapTree: trees of 2 and 1 tensors');
    const renamed = new Map([
      ['x', x],
      ['z', y],
    ]);
    expect(() => mapTree(add, a, renamed)).toThrow('only one of two trees has a tensor at "y"');
    expect(() => mapTree(add, [[x], [y]], [[x, y], []])).toThrow('only one of two trees has a tensor at "0"');
  });
});
