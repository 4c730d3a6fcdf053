import {
  column,
  count,
  type Expr,
  javaScript,
  type Language,
  nodesOf,
  operand,
  Writer,
  wgslOf,
} from './expr.ts';
import { hostFunction } from './host-function.ts';
import { f32, type Immediate, type Kernel, kernel } from './kernel-record.ts';
import type { HostLoop, WgslDevice } from './op.ts';
import type { Spec } from './shape.ts';

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

/** How the statements around expressions are written. */
interface Dialect {
  readonly language: Language;
  /** The head of the loop over a row's elements i. */
  readonly loop: string;
  readonly rest: string;
  variable(name: string, of: 'rowSum' | 'rowMax'): string;
  /** What all lanes together have, from what this one has. */
  together(of: 'rowSum' | 'rowMax', name: string): string;
  /** The index of element i in the rows. */
  readonly at: string;
  /** An element of an operand, whatever its type. */
  read(place: number, index: string): string;
  readonly columnText: string;
  store(output: number, index: string, value: string): string;
  /** A statement that one lane runs. */
  once(statement: string): string;
  max(x: string, y: string): string;
}

/** The body of a row: a walk for each stage of reductions, and one that writes the result. */
function bodyOf(
  { kinds, values, prefix = false }: RowProgram,
  names: ReadonlyMap<Expr, string>,
  d: Dialect,
): string {
  const elements = elementNodes(kinds, values);
  const stages = stagesOf(values);
  const byElement = elements.has(values[0]);
  // What the last walk adds up and the result needs again waits in the result's memory.
  const last = stages
    .at(-1)
    ?.find(({ of, args: [arg] }) => of === 'rowSum' && elements.has(arg) && arg.args.length > 0);
  const inResult = nodesOutsideReductions(values);
  const stash = byElement && last && inResult.has(last.args[0]) ? last.args[0] : null;
  const outer = new Writer(d.language, names, 'c');
  const lines: string[] = [];
  /** Names what a walk needs of the row, so that it is computed once. */
  const hoist = (root: Expr): void => {
    if (!elements.has(root)) outer.declare(root);
    else if (!outer.names.has(root)) root.args.forEach(hoist);
  };
  const walk = (
    roots: readonly Expr[],
    known: ReadonlyMap<Expr, string>,
    then: (texts: string[]) => string[],
  ) => {
    const used = leavesOf(roots, known).filter((node) => elements.has(node));
    const inner = new Writer(d.language, outer.names, 'e');
    const reads = used.map((node) => {
      if (node === column) return d.language.declare('column', d.columnText);
      inner.names.set(node, `x${node.value}`);
      return d.language.declare(
        `x${node.value}`,
        d.read(node.value, kinds[node.value] === 'row' ? d.at : 'i'),
      );
    });
    if (used.includes(column)) inner.names.set(column, 'column');
    for (const [node, text] of known) {
      // Read before anything is written over it.
      inner.lines.push(d.language.declare('stashed', text));
      inner.names.set(node, 'stashed');
    }
    if (stash && !known.has(stash) && roots.includes(stash)) inner.declare(stash);
    const texts = inner.write(roots);
    lines.push(`${d.loop} {`, ...[...reads, ...inner.lines, ...then(texts)].map((line) => `  ${line}`), '}');
  };
  const flush = (): void => {
    lines.push(...outer.lines.splice(0));
  };

  let reductions = 0;
  for (const stage of stages) {
    for (const { args } of stage) hoist(args[0]);
    flush();
    const vars = stage.map(() => `r${reductions++}`);
    vars.forEach((name, k) => void lines.push(d.variable(name, stage[k].of as 'rowSum')));
    walk(
      stage.map(({ args }) => args[0]),
      new Map(),
      (texts) => [
        ...stage.flatMap(({ args }, k) => (args[0] === stash ? [d.store(0, d.at, texts[k])] : [])),
        ...stage.map(({ of }, k) =>
          of === 'rowSum' ? `${vars[k]} += ${texts[k]};` : `${vars[k]} = ${d.max(vars[k], texts[k])};`,
        ),
      ],
    );
    stage.forEach((node, k) => {
      const name = `${vars[k]}all`;
      lines.push(d.language.declare(name, d.together(node.of as 'rowSum', vars[k])));
      outer.names.set(node, name);
    });
  }
  values.forEach(hoist);
  flush();
  if (byElement) {
    const known = stash ? new Map([[stash, `out0[${d.at}]`]]) : new Map();
    walk(values, known, (texts) => texts.map((text, k) => d.store(k, d.at, text)));
    const zeros = values.map((_, k) => d.store(k, d.at, d.language.constant(0)));
    if (prefix) lines.push(`${d.rest} { ${zeros.join(' ')} }`);
  } else {
    const stores = outer.write(values).map((text, k) => d.store(k, 'row', text));
    flush();
    lines.push(d.once(stores.join(' ')));
  }
  return lines.map((line) => `  ${line}`).join('\n');
}

/** The leaves of expressions, but for those that only what is known already has. */
function leavesOf(roots: readonly Expr[], known: ReadonlyMap<Expr, string>): Expr[] {
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

/** Names of what a row has one of: numbers, cells, its length. */
function rowNames(kinds: readonly OperandKind[]): Map<Expr, string> {
  const cells = kinds.flatMap((kind, place): [Expr, string][] =>
    kind === 'row' || kind === 'column' ? [] : [[operand(place), `x${place}`]],
  );
  return new Map([...cells, [count, 'count']]);
}

/**
 * A kernel: lanes of a workgroup share a row; where rows are columns of memory, an invocation has one each.
 */
export function rowKernel(
  program: RowProgram,
  rows: Rows,
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  device: WgslDevice,
): Kernel {
  const { kinds, name, prefix = false } = program;
  const { n, inner } = rows;
  const alone = inner > 1;
  const cells = rows.outer * inner;
  const places = kinds.flatMap((kind, place) => (kind === 'number' ? [] : [place]));
  const numbers = kinds.flatMap((kind, place) => (kind === 'number' ? [place] : []));
  const params: Record<string, Immediate> = { n };
  if (alone) params.inner = inner;
  if (prefix) Object.assign(params, { period: rows.period, offset: rows.offset });
  numbers.forEach((place, i) => {
    params[`x${place}`] = f32(rows.numbers[i]);
  });
  return kernel({
    name,
    in: Object.fromEntries(places.map((place, i) => [`x${place}s`, inputs[i]])),
    out: Object.fromEntries(outputs.map((output, k) => [`out${k}`, output])),
    params,
    grid: alone ? { cells } : { rows: cells, device },
    body: () => {
      const hasLowest = nodesOf(program.values).some((node) => node.of === 'rowMax');
      const cellReads = kinds.flatMap((kind, place) => {
        if (kind === 'cell') return [`let x${place} = x${place}s[row];`];
        return kind === 'index' ? [`let x${place} = f32(x${place}s[row]);`] : [];
      });
      const seen = prefix
        ? 'let seen = select(min(p.n, row % max(p.period, 1u) + p.offset + 1u), p.n, p.period == 0u);'
        : 'let seen = p.n;';
      const head = [
        ...(alone
          ? ['let row = flat;', 'let base = (row / p.inner) * p.n * p.inner + row % p.inner;']
          : ['let base = row * p.n;']),
        seen,
        'let count = f32(seen);',
        // NUMERICS: −∞ as a literal is an error, and any number would be the maximum of a row below it.
        ...(hasLowest ? ['var bits = 0xff800000u;', 'let lowest = bitcast<f32>(bits);'] : []),
        ...numbers.map((place) => `let x${place} = p.x${place};`),
        ...cellReads,
      ];
      return `${head.map((line) => `  ${line}`).join('\n')}\n${bodyOf(program, rowNames(kinds), wgslDialect(alone, outputs))}`;
    },
  });
}

function wgslDialect(alone: boolean, outputs: readonly Spec[]): Dialect {
  const [first, step] = alone ? ['0u', '1u'] : ['lane', 'LANES'];
  const language = wgslOf('f32');
  return {
    language,
    loop: `for (var i = ${first}; i < seen; i += ${step})`,
    rest: `for (var i = seen + ${first}; i < p.n; i += ${step})`,
    variable: (name, of) => `var ${name} = ${of === 'rowSum' ? '0.0' : 'lowest'};`,
    together: (of, name) => (alone ? name : `${of === 'rowSum' ? 'reduceSum' : 'reduceMax'}(${name}, lane)`),
    at: alone ? 'base + i * p.inner' : 'base + i',
    read: (place, index) => `x${place}s[${index}]`,
    columnText: 'f32(i)',
    store: (k, index, value) =>
      `out${k}[${index}] = ${outputs[k].dtype === 'i32' ? `i32(${value})` : value};`,
    once: (statement) => (alone ? statement : `if (lane == 0u) { ${statement} }`),
    max: (x, y) => `max(${x}, ${y})`,
  };
}

/** The same as a loop over the rows, one after the other. */
export function rowLoop(program: RowProgram, rows: Rows): HostLoop {
  const { kinds, prefix = false } = program;
  let text = loopTexts.get(program);
  if (text === undefined) {
    const places = kinds.flatMap((kind, place) => (kind === 'number' ? [] : [place]));
    const numbers = kinds.flatMap((kind, place) => (kind === 'number' ? [`x${place}`] : []));
    const cellReads = kinds.flatMap((kind, place) =>
      kind === 'cell' || kind === 'index' ? [`const x${place} = x${place}s[row];`] : [],
    );
    const outs = program.values.map((_, k) => `out${k}`).join(', ');
    text = `function ([${places.map((place) => `x${place}s`).join(', ')}], [${outs}], { outer, n, inner, numbers, period, offset }) {
  const [${numbers.join(', ')}] = numbers;
  for (let row = 0; row < outer * inner; row++) {
  const base = Math.floor(row / inner) * n * inner + row % inner;
  const seen = ${prefix ? 'period === 0 ? n : Math.min(n, (row % period) + offset + 1)' : 'n'};
  const count = seen;
  ${cellReads.join(' ')}
${bodyOf(program, rowNames(kinds), jsDialect)}
  }
}`;
    loopTexts.set(program, text);
  }
  const loop = hostFunction(text);
  return (inputs, outputs) => void loop(inputs, outputs, rows);
}

const loopTexts = new WeakMap<RowProgram, string>();

const jsDialect: Dialect = {
  language: javaScript,
  loop: 'for (let i = 0; i < seen; i++)',
  rest: 'for (let i = seen; i < n; i++)',
  variable: (name, of) => `let ${name} = ${of === 'rowSum' ? '0' : '-Infinity'};`,
  together: (_, name) => name,
  at: 'base + i * inner',
  read: (place, index) => `x${place}s[${index}]`,
  columnText: 'i',
  store: (k, index, value) => `out${k}[${index}] = ${value};`,
  once: (statement) => statement,
  max: (x, y) => `Math.max(${x}, ${y})`,
};
