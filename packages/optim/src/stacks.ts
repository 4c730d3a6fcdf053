import { concat, reshape, scope, size, split, type Tensor } from '@flex/tensor';
import type { Params } from './optimizer.ts';

/** Elements that a stack has at most. Tensors of more than half as many are by themselves: none is copied. */
const most = 2 ** 24;

/**
 * The names of tensors by stacks: what is computed with together, as the rows of one matrix, where a dispatch
 * for each would cost more than its work. In a stack are tensors of one size and of one kind, which are views
 * of it where the device can bind such; others are stacks of one. The names alone, sizes and kinds decide.
 */
export function stacksOf(tensors: Params, kindOf?: (name: string) => number): string[][] {
  const stacks: string[][] = [];
  const open = new Map<string, string[]>();
  for (const [name, { shape, backend }] of tensors) {
    const n = size(shape);
    const key = `${n} ${kindOf?.(name)}`;
    const stack = open.get(key);
    const holds = Math.min(most, backend.maxBindingBytes / 4) / n;
    if (stack && stack.length + 1 <= holds && (4 * n) % backend.viewAlignment === 0) stack.push(name);
    else {
      open.set(key, [name]);
      stacks.push(open.get(key)!);
    }
  }
  return stacks;
}

/** Tensors of n elements each as rows: f32 [names, n], in the memory where they are if they lie there so. */
export function stack(tensors: Params, names: readonly string[]): Tensor {
  return concat(
    names.map((name) => {
      const t = tensors.get(name)!;
      return reshape(t, [1, size(t.shape)]);
    }),
    0,
  );
}

/**
 * Tensors of the names and shapes of `like`, in its order: views of the matrices [names, n] that f gives for a
 * stack, a map of tensors for each of its matrices. Call it in a scope.
 */
export function unstacked(
  like: Params,
  f: (names: readonly string[]) => readonly Tensor[],
  kindOf?: (name: string) => number,
): Map<string, Tensor>[] {
  const found: Map<string, Tensor>[] = [];
  for (const names of stacksOf(like, kindOf)) {
    for (const [i, matrix] of f(names).entries()) {
      const count = size(matrix.shape);
      const lengths = names.map(() => count / names.length);
      const rows = split(reshape(matrix, [count]), lengths, 0);
      found[i] ??= new Map();
      for (const [k, name] of names.entries()) found[i].set(name, reshape(rows[k], like.get(name)!.shape));
    }
  }
  return found.map((tensors) => new Map([...like.keys()].map((name) => [name, tensors.get(name)!])));
}

/**
 * f of the tensors of the same names in all maps, those of a stack together: of matrices [names, n] it makes
 * another, number by number. `kindOf`: only names with one number share a call of f, which has that number.
 */
export function mapStacks(
  maps: readonly [Params, ...Params[]],
  f: (matrices: readonly Tensor[], kind: number) => Tensor,
  kindOf?: (name: string) => number,
): Map<string, Tensor> {
  const made = (names: readonly string[]) => {
    const matrices = maps.map((tensors) => stack(tensors, names));
    return [f(matrices, kindOf?.(names[0]) ?? 0)];
  };
  return scope(() => unstacked(maps[0], made, kindOf)[0] ?? new Map());
}

/**
 * All elements of the tensors of the same names in all maps, for sums: for each number of elements that a
 * stack has, the matrices [rows, n] of each stack, one of each map; rows are about as many as a row is long.
 */
export function rowsByLength(maps: readonly [Params, ...Params[]]): Tensor[][][] {
  const byLength = new Map<number, Tensor[][]>();
  for (const names of stacksOf(maps[0])) {
    const matrices = maps.map((tensors) => stack(tensors, names));
    const length = size(matrices[0].shape);
    const rows = rowsOf(length);
    const asRows = matrices.map((matrix) => reshape(matrix, [rows, length / rows]));
    byLength.set(length, [...(byLength.get(length) ?? []), asRows]);
  }
  return [...byLength.values()];
}

/** The largest divisor of n up to √n; 1 where one row is short enough. */
function rowsOf(n: number): number {
  let rows = n < 4096 ? 1 : Math.floor(Math.sqrt(n));
  while (n % rows !== 0) rows--;
  return rows;
}
