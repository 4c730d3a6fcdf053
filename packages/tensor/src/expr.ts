import type { Body } from './wasm/body.ts';
import * as math from './wasm/math.ts';
import { f32x4, type V128, v128 } from './wasm/values.ts';

/**
 * Scalar expressions: what an elementwise op or a row program computes, written once. From one expression
 * come the WGSL of a kernel, its WebAssembly, the gpu.js text, the f64 definition and the derivative. Ops
 * called with expressions compose them, so a chain of ops is fused by calling them with an `Expr` in place of
 * a tensor.
 */

type Text = (...args: readonly string[]) => string;

/** How two numbers are compared. */
export type Comparison = '<' | '<=' | '>' | '>=' | '==' | '!=';

/** A function that every backend computes by itself. */
export interface Primitive {
  readonly name: string;
  /** On f32 or vec4f alike; `c(x)` splats a number to that type. */
  readonly wgsl: (args: readonly string[], c: (x: number) => string) => string;
  readonly js: Text;
  /**
   * On f32x4 that have names, so that each can be used more than once; `w` takes statements. Left out: the CPU
   * engine runs ops of it as JavaScript.
   */
  readonly wasm?: (args: readonly V128[], w: Body) => V128;
  /** d/d(args) from g = d/d(result), null where it is 0; `y` is the result. */
  readonly gradients: (g: Expr, args: readonly Expr[], y: Expr) => readonly (Expr | null)[];
  /** Whether a text has an argument more than once, which then has a name. */
  readonly repeats?: true;
  /** Of a comparison: the condition itself, which every language has as a truth value. */
  readonly condition?: Comparison;
}

/** A node of an expression. Equal expressions are one object. */
export class Expr {
  /** A primitive, or what kind of leaf or reduction it is. */
  readonly of: Primitive | 'operand' | 'constant' | 'column' | 'count' | 'rowSum' | 'rowMax';
  readonly args: readonly Expr[];
  /** Of a constant its number, of an operand its place. */
  readonly value: number;
  readonly id: number;

  constructor(of: Expr['of'], args: readonly Expr[], value: number, id: number) {
    this.of = of;
    this.args = args;
    this.value = value;
    this.id = id;
  }
}

const interned = new Map<string, Expr>();
const primitives = new Map<Primitive, number>();

/** Primitives are told apart by themselves: a stranger's may have the name of another. */
function idOf(of: Primitive): number {
  const id = primitives.get(of) ?? primitives.size;
  primitives.set(of, id);
  return id;
}

function intern(of: Expr['of'], args: readonly Expr[], value = 0): Expr {
  const key = `${typeof of === 'string' ? of : idOf(of)} ${Object.is(value, -0) ? '-0' : value} ${args.map((a) => a.id).join(' ')}`;
  let found = interned.get(key);
  if (!found) {
    found = new Expr(of, args, value, interned.size);
    interned.set(key, found);
  }
  return found;
}

/** The operand at that place of an op. */
export const operand = (place: number): Expr => intern('operand', [], place);
/** A number of the expression itself. Throws RangeError for what f32 literals cannot say. */
export function constant(value: number): Expr {
  if (!(Math.abs(value) <= 3.4028234663852886e38))
    throw new RangeError(
      `an expression holds finite f32 numbers, got ${value}: give it as an operand at the call`,
    );
  return intern('constant', [], value);
}
/** The number of the element in its row, from 0, and how many a row has. Row programs alone have them. */
export const column: Expr = intern('column', []);
export const count: Expr = intern('count', []);
/** The value of a primitive. */
export const call = (of: Primitive, ...args: readonly Expr[]): Expr => intern(of, args);
/** Σ, or the largest, over the elements of a row. Row programs alone have them. */
export const reduced = (of: 'rowSum' | 'rowMax', arg: Expr): Expr => intern(of, [arg]);

export const asExpr = (x: Expr | number): Expr => (typeof x === 'number' ? constant(x) : x);

/** Every node of the expressions, each after its arguments. */
export function nodesOf(roots: readonly Expr[]): Expr[] {
  const seen = new Set<Expr>();
  const visit = (node: Expr): void => {
    if (seen.has(node)) return;
    for (const arg of node.args) visit(arg);
    seen.add(node);
  };
  for (const root of roots) visit(root);
  return [...seen];
}

/** The expression with some nodes replaced. */
export function substitute(root: Expr, by: ReadonlyMap<Expr, Expr>): Expr {
  const done = new Map(by);
  const visit = (node: Expr): Expr => {
    let result = done.get(node);
    if (!result) {
      result = intern(node.of, node.args.map(visit), node.value);
      done.set(node, result);
    }
    return result;
  };
  return visit(root);
}

/**
 * Σ_j seeds[j]·∂roots[j]/∂x, simplified no further than leaving out what is 0; null where it is. Expressions
 * with reductions have none.
 */
export function derivative(roots: readonly Expr[], seeds: readonly Expr[], x: Expr): Expr | null {
  const nodes = nodesOf(roots);
  const reaching = new Set([x]);
  for (const node of nodes) if (node.args.some((arg) => reaching.has(arg))) reaching.add(node);
  const adjoints = new Map<Expr, Expr>();
  const put = (node: Expr, g: Expr) => {
    const before = adjoints.get(node);
    adjoints.set(node, before ? call(add, before, g) : g);
  };
  roots.forEach((root, j) => {
    if (reaching.has(root)) put(root, seeds[j]);
  });
  for (const node of nodes.reverse()) {
    const g = adjoints.get(node);
    if (!g || node === x) continue;
    if (typeof node.of === 'string') throw new Error(`an expression with ${node.of} has no derivative`);
    node.of.gradients(g, node.args, node).forEach((gx, k) => {
      if (gx && reaching.has(node.args[k])) put(node.args[k], gx);
    });
  }
  return adjoints.get(x) ?? null;
}

const times = (x: Expr, y: Expr) => call(mul, x, y);

/** The lanes of f32x4 where a comparison is true, as a mask. */
export const lanesWhere: Readonly<Record<Comparison, (x: V128, y: V128) => V128>> = {
  '<': f32x4.lt,
  '<=': f32x4.le,
  '>': f32x4.gt,
  '>=': f32x4.ge,
  '==': f32x4.eq,
  '!=': f32x4.ne,
};

const splat = (value: number) => f32x4.const(value);

/** WGSL: `value`, and NaN where x or y is. Its max, min and clamp may give the other one. */
export const unlessNaN = (value: string, x: string, y: string) =>
  `select(${x} + ${y}, ${value}, (${x} < ${y}) | (${x} >= ${y}))`;

const infix = (
  name: 'add' | 'sub' | 'mul' | 'div',
  sign: string,
  gradients: Primitive['gradients'],
): Primitive => ({
  name,
  wgsl: ([x, y]) => `(${x} ${sign} ${y})`,
  js: (x, y) => `(${x} ${sign} ${y})`,
  wasm: ([x, y]) => f32x4[name](x, y),
  gradients,
});

const unary = (
  name: string,
  texts: { readonly wgsl: string; readonly js: string },
  wasm: (w: Body, x: V128) => V128,
  gradients: Primitive['gradients'],
): Primitive => ({
  name,
  wgsl: ([x]) => `${texts.wgsl}(${x})`,
  js: (x) => `${texts.js}(${x})`,
  wasm: ([x], w) => wasm(w, x),
  gradients,
});

const comparison = (name: string, sign: Comparison): Primitive => ({
  name,
  wgsl: ([x, y], c) => `select(${c(0)}, ${c(1)}, ${x} ${sign} ${y})`,
  js: (x, y) => `(${x} ${sign} ${y} ? 1 : 0)`,
  wasm: ([x, y]) => v128.and(lanesWhere[sign](x, y), splat(1)),
  gradients: () => [null, null],
  condition: sign,
});

export const add: Primitive = infix('add', '+', (g) => [g, g]);
export const sub: Primitive = infix('sub', '-', (g) => [g, call(neg, g)]);
export const mul: Primitive = infix('mul', '*', (g, [x, y]) => [times(g, y), times(g, x)]);
export const div: Primitive = infix('div', '/', (g, [, y], quotient) => [
  call(div, g, y),
  call(neg, times(g, call(div, quotient, y))),
]);
export const neg: Primitive = unary(
  'neg',
  { wgsl: '-', js: '-' },
  (_, x) => f32x4.neg(x),
  (g) => [call(neg, g)],
);
export const exp: Primitive = unary('exp', { wgsl: 'exp', js: 'Math.exp' }, math.exp, (g, _, y) => [
  times(g, y),
]);
export const log: Primitive = unary('log', { wgsl: 'log', js: 'Math.log' }, math.log, (g, [x]) => [
  call(div, g, x),
]);
export const sqrt: Primitive = unary(
  'sqrt',
  { wgsl: 'sqrt', js: 'Math.sqrt' },
  (_, x) => f32x4.sqrt(x),
  (g, _, y) => [times(call(div, g, y), constant(0.5))],
);
export const rsqrt: Primitive = {
  name: 'rsqrt',
  wgsl: ([x]) => `inverseSqrt(${x})`,
  js: (x) => `(1 / Math.sqrt(${x}))`,
  wasm: ([x]) => f32x4.div(splat(1), f32x4.sqrt(x)),
  gradients: (g, [x], y) => [times(times(g, call(div, y, x)), constant(-0.5))],
};
export const tanh: Primitive = {
  name: 'tanh',
  repeats: true,
  // NUMERICS: the built-in overflows beyond |x| ≈ 44 on some drivers; tanh is 1 in f32 from 10 on.
  wgsl: ([x], c) => unlessNaN(`tanh(clamp(${x}, ${c(-10)}, ${c(10)}))`, x, c(0)),
  js: (x) => `Math.tanh(${x})`,
  wasm: ([x], w) => math.tanh(w, x),
  gradients: (g, _, y) => [times(g, call(sub, constant(1), times(y, y)))],
};
export const sigmoid: Primitive = {
  name: 'sigmoid',
  repeats: true,
  // NUMERICS: eˣ overflows f32 above 88, and WGSL may assume that there are no infinities.
  wgsl: ([x], c) => unlessNaN(`${c(1)} / (${c(1)} + exp(min(-(${x}), ${c(80)})))`, x, c(0)),
  js: (x) => `(1 / (1 + Math.exp(-(${x}))))`,
  wasm: ([x], w) => math.sigmoid(w, x),
  gradients: (g, _, y) => [times(g, call(sub, y, times(y, y)))],
};
export const pow: Primitive = {
  name: 'pow',
  wgsl: ([x, y]) => `pow(${x}, ${y})`,
  js: (x, y) => `Math.pow(${x}, ${y})`,
  wasm: ([x, y], w) => math.pow(w, x, y),
  gradients: (g, [x, y], power) => [
    times(g, times(y, call(pow, x, call(sub, y, constant(1))))),
    times(g, times(power, call(log, x))),
  ],
};
export const abs: Primitive = unary(
  'abs',
  { wgsl: 'abs', js: 'Math.abs' },
  (_, x) => f32x4.abs(x),
  (g, [x]) => [times(g, call(sign, x))],
);
export const sign: Primitive = {
  name: 'sign',
  repeats: true,
  wgsl: ([x]) => `sign(${x})`,
  js: (x) => `(${x} > 0 ? 1 : ${x} < 0 ? -1 : 0)`,
  wasm([x]) {
    const [isAbove, isBelow] = [f32x4.gt(x, splat(0)), f32x4.lt(x, splat(0))];
    return v128.or(v128.and(isAbove, splat(1)), v128.and(isBelow, splat(-1)));
  },
  gradients: () => [null],
};
export const greater: Primitive = comparison('greater', '>');
export const equal: Primitive = comparison('equal', '==');
/** The second where the first is not 0, else the third; NaN where the first is. */
export const where: Primitive = {
  name: 'where',
  wgsl: ([condition, x, y]) => `select(${y}, ${x}, ${condition})`,
  js: (condition, x, y) => `(${condition} ? ${x} : ${y})`,
  wasm: ([condition, x, y]) => v128.bitselect(x, y, condition),
  gradients: (g, [condition]) => [
    null,
    call(where, condition, g, constant(0)),
    call(where, condition, constant(0), g),
  ],
};

/** g where winner > loser. NUMERICS: equal ones get half each, as torch.maximum does. */
const share = (g: Expr, winner: Expr, loser: Expr): Expr =>
  call(
    where,
    call(greater, winner, loser),
    g,
    call(where, call(equal, winner, loser), times(constant(0.5), g), constant(0)),
  );
export const maximum: Primitive = {
  name: 'maximum',
  repeats: true,
  wgsl: ([x, y]) => unlessNaN(`max(${x}, ${y})`, x, y),
  js: (x, y) => `Math.max(${x}, ${y})`,
  wasm: ([x, y]) => f32x4.max(x, y),
  gradients: (g, [x, y]) => [share(g, x, y), share(g, y, x)],
};
export const minimum: Primitive = {
  name: 'minimum',
  repeats: true,
  wgsl: ([x, y]) => unlessNaN(`min(${x}, ${y})`, x, y),
  js: (x, y) => `Math.min(${x}, ${y})`,
  wasm: ([x, y]) => f32x4.min(x, y),
  gradients: (g, [x, y]) => [share(g, y, x), share(g, x, y)],
};
