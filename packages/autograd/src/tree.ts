import { add, eachTensor, mul, ShapeError, sum, Tensor } from '@flex/tensor';

/** What JAX calls a pytree: a tensor, or an array, a Map or a plain object of trees. */
export type Tree = Tensor | readonly Tree[] | ReadonlyMap<string, Tree> | { readonly [key: string]: Tree };

/** The tensors of a tree, in its order. */
export function treeLeaves(tree: Tree): Tensor[] {
  const leaves: Tensor[] = [];
  eachTensor(tree, (t) => leaves.push(t));
  return leaves;
}

/**
 * f of each tensor of a tree and of those at its place in the others, in the structure of the first.
 * Throws ShapeError when another tree has another structure.
 */
export function mapTree<T extends Tree>(
  f: (leaf: Tensor, ...others: Tensor[]) => Tensor,
  tree: T,
  ...others: readonly Tree[]
): T {
  const count = treeLeaves(tree).length;
  const other = others.find((candidate) => treeLeaves(candidate).length !== count);
  if (other) throw new ShapeError(`mapTree: trees of ${count} and ${treeLeaves(other).length} tensors`);
  return mapAt(f, tree, others, 'the root') as T;
}

function mapAt(
  f: (leaf: Tensor, ...others: Tensor[]) => Tensor,
  tree: Tree,
  others: readonly Tree[],
  place: string,
): Tree {
  if (tree instanceof Tensor) {
    if (others.every((other) => other instanceof Tensor)) return f(tree, ...others);
    throw new ShapeError(`mapTree: only one of two trees has a tensor at ${place}`);
  }
  const inside = (key: string | number, child: Tree) =>
    mapAt(
      f,
      child,
      others.map((other) => childOf(other, key)),
      `"${key}"`,
    );
  if (Array.isArray(tree)) return tree.map((child, i) => inside(i, child));
  if (tree instanceof Map) return new Map([...tree].map(([key, child]) => [key, inside(key, child)]));
  if (tree === null || typeof tree !== 'object')
    throw new ShapeError(`mapTree: a tree holds tensors alone, got ${String(tree)} at ${place}`);
  return Object.fromEntries(Object.entries(tree).map(([key, child]) => [key, inside(key, child)]));
}

function childOf(tree: Tree, key: string | number): Tree {
  return tree instanceof Map ? tree.get(key) : (tree as { readonly [key: string | number]: Tree })?.[key];
}

/** Σ a·b over all elements of two trees of one structure: f32 []. */
export function innerProduct(a: Tree, b: Tree): Tensor {
  return treeLeaves(mapTree(mul, a, b))
    .map((product) => sum(product))
    .reduce((total, part) => add(total, part));
}
