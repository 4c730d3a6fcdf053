/**
 * Scalar expressions: what an elementwise op or a row program computes, written once. From one expression
 * come the WGSL of a kernel, the gpu.js text, the f64 definition and the derivative. Ops called with
 * expressions compose them, so a chain of ops is fused by calling them with an `Expr` in place of a tensor.
 */

type Text = (...args: readonly string[]) => string;

/** A function that every backend computes by itself. */
export interface Primitive {
  readonly name: string;
  /** On f32 or vec4f alike; `c(x)` splats a number to that type. */
  readonly wgsl: (args: readonly string[], c: (x: number) => string) => string;
  readonly js: Text;
  /** d/d(args) from g = d/d(result), null where it is 0; `y` is the result. */
  readonly gradients: (g: Expr, args: readonly Expr[], y: Expr) => readonly (Expr | null)[];
  /** Of a comparison: the condition itself, which both languages have as a truth value. */
  readonly condition?: string;
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

const infix = (name: string, sign: string, gradients: Primitive['gradients']): Primitive => ({
  name,
  wgsl: ([x, y]) => `(${x} ${sign} ${y})`,
  js: (x, y) => `(${x} ${sign} ${y})`,
  gradients,
});

const unary = (name: string, wgsl: string, js: string, gradients: Primitive['gradients']): Primitive => ({
  name,
  wgsl: ([x]) => `${wgsl}(${x})`,
  js: (x) => `${js}(${x})`,
  gradients,
});

const comparison = (name: string, sign: string): Primitive => ({
  name,
  wgsl: ([x, y], c) => `select(${c(0)}, ${c(1)}, ${x} ${sign} ${y})`,
  js: (x, y) => `(${x} ${sign} ${y} ? 1 : 0)`,
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
export const neg: Primitive = unary('neg', '-', '-', (g) => [call(neg, g)]);
export const exp: Primitive = unary('exp', 'exp', 'Math.exp', (g, _, y) => [times(g, y)]);
export const log: Primitive = unary('log', 'log', 'Math.log', (g, [x]) => [call(div, g, x)]);
export const sqrt: Primitive = unary('sqrt', 'sqrt', 'Math.sqrt', (g, _, y) => [
  times(call(div, g, y), constant(0.5)),
]);
export const rsqrt: Primitive = {
  ...unary('rsqrt', 'inverseSqrt', '', (g, [x], y) => [times(times(g, call(div, y, x)), constant(-0.5))]),
  js: (x) => `(1 / Math.sqrt(${x}))`,
};
export const tanh: Primitive = {
  ...unary('tanh', '', 'Math.tanh', (g, _, y) => [times(g, call(sub, constant(1), times(y, y)))]),
  // NUMERICS: the built-in overflows beyond |x| ≈ 44 on some drivers; tanh is 1 in f32 from 10 on.
  wgsl: ([x], c) => `tanh(clamp(${x}, ${c(-10)}, ${c(10)}))`,
};
export const sigmoid: Primitive = {
  name: 'sigmoid',
  // NUMERICS: eˣ overflows f32 above 88, and WGSL may assume that there are no infinities.
  wgsl: ([x], c) => `(${c(1)} / (${c(1)} + exp(min(-(${x}), ${c(80)}))))`,
  js: (x) => `(1 / (1 + Math.exp(-(${x}))))`,
  gradients: (g, _, y) => [times(g, call(sub, y, times(y, y)))],
};
export const pow: Primitive = {
  name: 'pow',
  wgsl: ([x, y]) => `pow(${x}, ${y})`,
  js: (x, y) => `Math.pow(${x}, ${y})`,
  gradients: (g, [x, y], power) => [
    times(g, times(y, call(pow, x, call(sub, y, constant(1))))),
    times(g, times(power, call(log, x))),
  ],
};
export const abs: Primitive = unary('abs', 'abs', 'Math.abs', (g, [x]) => [times(g, call(sign, x))]);
export const sign: Primitive = {
  ...unary('sign', 'sign', '', () => [null]),
  js: (x) => `(${x} > 0 ? 1 : ${x} < 0 ? -1 : 0)`,
};
export const greater: Primitive = comparison('greater', '>');
export const equal: Primitive = comparison('equal', '==');
/** The second where the first is not 0, else the third. */
export const where: Primitive = {
  name: 'where',
  wgsl: ([condition, x, y]) => `select(${y}, ${x}, ${condition})`,
  js: (condition, x, y) => `(${condition} ? ${x} : ${y})`,
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
  wgsl: ([x, y]) => `max(${x}, ${y})`,
  js: (x, y) => `Math.max(${x}, ${y})`,
  gradients: (g, [x, y]) => [share(g, x, y), share(g, y, x)],
};
export const minimum: Primitive = {
  name: 'minimum',
  wgsl: ([x, y]) => `min(${x}, ${y})`,
  js: (x, y) => `Math.min(${x}, ${y})`,
  gradients: (g, [x, y]) => [share(g, y, x), share(g, x, y)],
};
/** A language that expressions are written in. */
export interface Language {
  /** A number of the expression itself. */
  constant(value: number): string;
  call(of: Primitive, args: readonly string[]): string;
  /** A statement that names a value. */
  declare(name: string, text: string): string;
  /** The truth of a value that is no comparison. */
  isNotZero(text: string): string;
}

/** WGSL on f32, or on four elements at once. */
export const wgslOf = (type: 'f32' | 'vec4f'): Language => {
  const splat = (value: number) => (type === 'f32' ? f32Literal(value) : `vec4f(${f32Literal(value)})`);
  return {
    constant: splat,
    call: (of, args) => of.wgsl(args, splat),
    declare: (name, text) => `let ${name} = ${text};`,
    isNotZero: (text) => `${text} != ${splat(0)}`,
  };
};

function f32Literal(value: number): string {
  const text = String(Math.fround(value) === value ? value : Number(value.toPrecision(9)));
  return /[.e]/.test(text) ? text : `${text}.0`;
}

export const javaScript: Language = {
  constant: (value) => (value < 0 ? `(${value})` : String(value)),
  call: (of, args) => of.js(...args),
  declare: (name, text) => `const ${name} = ${text};`,
  isNotZero: (text) => `${text} != 0`,
};

/**
 * Writes expressions in a language, one after the other: `names` has the text of the leaves and of whatever
 * is already named, and gains what gets a name. A value used more than once is declared once, in `lines`.
 */
export class Writer {
  readonly names: Map<Expr, string>;
  readonly lines: string[] = [];
  readonly #language: Language;
  readonly #prefix: string;
  #named = 0;

  constructor(language: Language, names: ReadonlyMap<Expr, string>, prefix = 't') {
    this.names = new Map(names);
    this.#language = language;
    this.#prefix = prefix;
  }

  /** The texts of the expressions; statements that they need are added to `lines`. */
  write(roots: readonly Expr[]): string[] {
    const uses = new Map<Expr, number>();
    const countArgs = (node: Expr): void => {
      node.args.forEach((arg, k) => {
        // A condition is written where it is needed, so what it compares is used there, each time.
        if (node.of === where && k === 0 && this.#signOf(arg)) countArgs(arg);
        else count(arg);
      });
    };
    const count = (node: Expr): void => {
      const before = uses.get(node) ?? 0;
      uses.set(node, before + 1);
      if (before === 0 && !this.names.has(node)) countArgs(node);
    };
    roots.forEach(count);
    return roots.map((root) => this.#text(root, uses));
  }

  /** Gives an expression a name, if it has none. */
  declare(node: Expr): void {
    if (this.names.has(node) || node.of === 'constant') return;
    const [text] = this.write([node]);
    if (!this.names.has(node)) this.#name(node, text);
  }

  #name(node: Expr, text: string): string {
    const name = `${this.#prefix}${this.#named++}`;
    this.lines.push(this.#language.declare(name, text));
    this.names.set(node, name);
    return name;
  }

  #text(node: Expr, uses: ReadonlyMap<Expr, number>): string {
    const named = this.names.get(node);
    if (named !== undefined) return named;
    if (node.of === 'constant') return this.#language.constant(node.value);
    if (typeof node.of === 'string') throw new Error(`an expression cannot have ${node.of} here`);
    const { of } = node;
    const args = node.args.map((arg, k) =>
      of === where && k === 0 ? this.#condition(arg, uses) : this.#text(arg, uses),
    );
    const text = this.#language.call(of, args);
    return uses.get(node)! > 1 ? this.#name(node, text) : text;
  }

  /** The sign of a comparison that has no name yet. */
  #signOf(node: Expr): string | undefined {
    return typeof node.of === 'string' || this.names.has(node) ? undefined : node.of.condition;
  }

  #condition(node: Expr, uses: ReadonlyMap<Expr, number>): string {
    const sign = this.#signOf(node);
    if (!sign) return this.#language.isNotZero(this.#text(node, uses));
    const [x, y] = node.args.map((arg) => this.#text(arg, uses));
    return `${x} ${sign} ${y}`;
  }
}
