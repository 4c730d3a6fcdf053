import { column, count, type Expr, nodesOf, operand } from './expr.ts';
import { javaScript, type Language, Writer, wgslOf } from './expr-writer.ts';
import { hostFunction } from './host-function.ts';
import { f32, type Immediate, type Kernel, kernel } from './kernel-record.ts';
import type { HostLoop, WgslDevice } from './op.ts';
import { leavesOf, type OperandKind, planOf, type RowProgram, type Rows } from './row-plan.ts';
import type { Spec } from './shape.ts';

/** How the statements around expressions are written. */
interface Dialect {
  language(lines: string[]): Language<string>;
  /** The head of the loop over a row's elements i. */
  readonly loop: string;
  readonly rest: string;
  readonly zero: string;
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
function bodyOf(program: RowProgram, names: ReadonlyMap<Expr, string>, d: Dialect): string {
  const { kinds, values, prefix = false } = program;
  const { byElement, isOfElement, stages, needs, stash } = planOf(program);
  const lines: string[] = [];
  const outer = new Writer(d.language(lines), names, 'c');
  const walk = (
    roots: readonly Expr[],
    known: ReadonlyMap<Expr, string>,
    then: (texts: string[]) => string[],
  ) => {
    const statements: string[] = [];
    const language = d.language(statements);
    const inner = new Writer(language, outer.names, 'e');
    for (const node of leavesOf(roots, known).filter(isOfElement)) {
      const index = kinds[node.value] === 'row' ? d.at : 'i';
      const [name, text] =
        node === column ? ['column', d.columnText] : [`x${node.value}`, d.read(node.value, index)];
      inner.names.set(node, language.named(name, text));
    }
    // Read before anything is written over it.
    for (const [node, text] of known) inner.names.set(node, language.named('stashed', text));
    if (stash && !known.has(stash) && roots.includes(stash)) inner.declare(stash);
    const texts = inner.write(roots);
    lines.push(`${d.loop} {`, ...[...statements, ...then(texts)].map((line) => `  ${line}`), '}');
  };

  let reductions = 0;
  for (const stage of stages) {
    for (const node of stage.needs) outer.declare(node);
    const vars = stage.reductions.map(() => `r${reductions++}`);
    vars.forEach((name, k) => void lines.push(d.variable(name, stage.reductions[k].of as 'rowSum')));
    walk(
      stage.reductions.map(({ args }) => args[0]),
      new Map(),
      (texts) => [
        ...stage.reductions.flatMap(({ args }, k) => (args[0] === stash ? [d.store(0, d.at, texts[k])] : [])),
        ...stage.reductions.map(({ of }, k) =>
          of === 'rowSum' ? `${vars[k]} += ${texts[k]};` : `${vars[k]} = ${d.max(vars[k], texts[k])};`,
        ),
      ],
    );
    stage.reductions.forEach((node, k) => {
      const text = d.together(node.of as 'rowSum', vars[k]);
      outer.names.set(node, d.language(lines).named(`${vars[k]}all`, text));
    });
  }
  for (const node of needs) outer.declare(node);
  if (byElement) {
    const known = stash ? new Map([[stash, `out0[${d.at}]`]]) : new Map();
    walk(values, known, (texts) => texts.map((text, k) => d.store(k, d.at, text)));
    const zeros = values.map((_, k) => d.store(k, d.at, d.zero));
    if (prefix) lines.push(`${d.rest} { ${zeros.join(' ')} }`);
  } else {
    const stores = outer.write(values).map((text, k) => d.store(k, 'row', text));
    lines.push(d.once(stores.join(' ')));
  }
  return lines.map((line) => `  ${line}`).join('\n');
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
  const { kinds, name, prefix = false, joined = false } = program;
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
      return `${head.map((line) => `  ${line}`).join('\n')}\n${bodyOf(program, rowNames(kinds), wgslDialect(alone, joined, outputs))}`;
    },
  });
}

function wgslDialect(alone: boolean, joined: boolean, outputs: readonly Spec[]): Dialect {
  const [first, step] = alone ? ['0u', '1u'] : ['lane', 'LANES'];
  return {
    language: (lines) => wgslOf('f32', lines),
    zero: '0.0',
    loop: `for (var i = ${first}; i < seen; i += ${step})`,
    rest: `for (var i = seen + ${first}; i < p.n; i += ${step})`,
    variable: (name, of) => `var ${name} = ${of === 'rowSum' ? '0.0' : 'lowest'};`,
    together: (of, name) => (alone ? name : `${of === 'rowSum' ? 'reduceSum' : 'reduceMax'}(${name}, lane)`),
    at: alone ? 'base + i * p.inner' : 'base + i',
    read: (place, index) => `x${place}s[${index}]`,
    columnText: 'f32(i)',
    store(k, index, value) {
      if (joined) return `out0[${k}u * ${alone ? 'p.cells' : 'p.rows'} + ${index}] = ${value};`;
      return `out${k}[${index}] = ${outputs[k].dtype === 'i32' ? `i32(${value})` : value};`;
    },
    once: (statement) => (alone ? statement : `if (lane == 0u) { ${statement} }`),
    max: (x, y) => `max(${x}, ${y})`,
  };
}

/** The same as a loop over the rows, one after the other. */
export function rowLoop(program: RowProgram, rows: Rows): HostLoop {
  const { kinds, prefix = false, joined = false } = program;
  let text = loopTexts.get(program);
  if (text === undefined) {
    const places = kinds.flatMap((kind, place) => (kind === 'number' ? [] : [place]));
    const numbers = kinds.flatMap((kind, place) => (kind === 'number' ? [`x${place}`] : []));
    const cellReads = kinds.flatMap((kind, place) =>
      kind === 'cell' || kind === 'index' ? [`const x${place} = x${place}s[row];`] : [],
    );
    const outs = joined ? 'out0' : program.values.map((_, k) => `out${k}`).join(', ');
    text = `function ([${places.map((place) => `x${place}s`).join(', ')}], [${outs}], { outer, n, inner, numbers, period, offset }) {
  const [${numbers.join(', ')}] = numbers;
  for (let row = 0; row < outer * inner; row++) {
  const base = Math.floor(row / inner) * n * inner + row % inner;
  const seen = ${prefix ? 'period === 0 ? n : Math.min(n, (row % period) + offset + 1)' : 'n'};
  const count = seen;
  ${cellReads.join(' ')}
${bodyOf(program, rowNames(kinds), jsDialect(joined))}
  }
}`;
    loopTexts.set(program, text);
  }
  const loop = hostFunction(text);
  return (inputs, outputs) => void loop(inputs, outputs, rows);
}

const loopTexts = new WeakMap<RowProgram, string>();

const jsDialect = (joined: boolean): Dialect => ({
  language: javaScript,
  zero: '0',
  loop: 'for (let i = 0; i < seen; i++)',
  rest: 'for (let i = seen; i < n; i++)',
  variable: (name, of) => `let ${name} = ${of === 'rowSum' ? '0' : '-Infinity'};`,
  together: (_, name) => name,
  at: 'base + i * inner',
  read: (place, index) => `x${place}s[${index}]`,
  columnText: 'i',
  store: (k, index, value) =>
    joined ? `out0[${k} * outer * inner + ${index}] = ${value};` : `out${k}[${index}] = ${value};`,
  once: (statement) => statement,
  max: (x, y) => `Math.max(${x}, ${y})`,
});
