import { column, type Expr, nodesOf } from './expr.ts';

/**
 * What an operand is to a row of n elements: its elements, one for each column of all rows, one for the row
 * (as f32, or an index of i32 read as a number), or one number for all.
 */
export type OperandKind = 'row' | 'column' | 'cell' | 'index' | 'number';

/** A function of rows, from which come a kernel and a loop. */
export interface RowProgram {
  readonly name: string;
  readonly kinds: readonly OperandKind[];
  /**
   * In `operand(0)`, …: each has a value an element, or each one a row, with nothing of an element but
   * reduced.
   */
  readonly values: readonly Expr[];
  /** Row i of a block of `period` rows sees columns 0 … offset + i alone; elsewhere the result is 0. */
  readonly prefix?: boolean;
  /** The values of rows are the planes of one result, [values, rows]; else each is a result of its own. */
  readonly joined?: boolean;
}

/** The rows of a call: [outer, n, inner], of which each row runs along the middle axis. */
export interface Rows {
  readonly outer: number;
  readonly n: number;
  readonly inner: number;
  /** Of the operands that are numbers, in order. */
  readonly numbers: readonly number[];
  readonly period: number;
  readonly offset: number;
}

/** True where a program has a value for each element. */
export function isElementwise({ name, kinds, values }: RowProgram): boolean {
  const elements = elementNodes(kinds, values);
  const count = values.filter((value) => elements.has(value)).length;
  if (count > 0 && count < values.length) throw new Error(`${name}: mixes values of elements and of rows`);
  return count > 0;
}

/** The nodes that differ from element to element of a row. */
function elementNodes(kinds: readonly OperandKind[], values: readonly Expr[]): Set<Expr> {
  const found = new Set<Expr>();
  for (const node of nodesOf(values)) {
    const own = node.of === 'operand' && (kinds[node.value] === 'row' || kinds[node.value] === 'column');
    const reduces = node.of === 'rowSum' || node.of === 'rowMax';
    if (own || node === column || (!reduces && node.args.some((arg) => found.has(arg)))) found.add(node);
  }
  return found;
}

/** The reductions that can run in one walk over the row, those that others wait for first. */
function stagesOf(values: readonly Expr[]): Expr[][] {
  const depths = new Map<Expr, number>();
  const stages: Expr[][] = [];
  for (const node of nodesOf(values)) {
    const inner = Math.max(0, ...node.args.map((arg) => depths.get(arg)!));
    const reduces = node.of === 'rowSum' || node.of === 'rowMax';
    depths.set(node, reduces ? inner + 1 : inner);
    if (!reduces) continue;
    stages[inner] ??= [];
    stages[inner].push(node);
  }
  return stages;
}

/** One walk along the row. */
export interface Stage {
  /** What it needs of the row, each computed once before it. */
  readonly needs: readonly Expr[];
  readonly reductions: readonly Expr[];
}

/** How a row is computed: walks along it, one after the other, then its result. */
export interface RowPlan {
  /** True where there is a result for each element. */
  readonly byElement: boolean;
  readonly isOfElement: (node: Expr) => boolean;
  readonly stages: readonly Stage[];
  /** What the result needs of the row. */
  readonly needs: readonly Expr[];
  /** What the last stage adds up and the result needs again: it waits in the memory of the first result. */
  readonly stash: Expr | null;
}

export function planOf({ kinds, values }: Pick<RowProgram, 'kinds' | 'values'>): RowPlan {
  const elements = elementNodes(kinds, values);
  const byElement = elements.has(values[0]);
  /** The largest parts of an expression that are of the row. */
  const partsOfRow = (root: Expr): readonly Expr[] =>
    elements.has(root) ? root.args.flatMap(partsOfRow) : [root];
  const stages = stagesOf(values).map((reductions) => ({
    needs: reductions.flatMap(({ args }) => partsOfRow(args[0])),
    reductions,
  }));
  const last = stages
    .at(-1)
    ?.reductions.find(({ of, args: [arg] }) => of === 'rowSum' && elements.has(arg) && arg.args.length > 0);
  const isNeededAgain = last && nodesOutsideReductions(values).has(last.args[0]);
  return {
    byElement,
    isOfElement: (node) => elements.has(node),
    stages,
    needs: values.flatMap(partsOfRow),
    stash: byElement && isNeededAgain ? last.args[0] : null,
  };
}

/** The leaves of expressions, but for those that only what is known already has. */
export function leavesOf(roots: readonly Expr[], known: { has(node: Expr): boolean }): Expr[] {
  const seen = new Set<Expr>();
  const visit = (node: Expr): void => {
    if (seen.has(node) || known.has(node)) return;
    seen.add(node);
    node.args.forEach(visit);
  };
  roots.forEach(visit);
  return [...seen].filter((node) => node.args.length === 0);
}

/** The nodes of the result itself, without what is only inside its reductions. */
function nodesOutsideReductions(values: readonly Expr[]): Set<Expr> {
  const found = new Set<Expr>();
  const visit = (node: Expr): void => {
    if (found.has(node)) return;
    found.add(node);
    if (node.of !== 'rowSum' && node.of !== 'rowMax') node.args.forEach(visit);
  };
  values.forEach(visit);
  return found;
}
