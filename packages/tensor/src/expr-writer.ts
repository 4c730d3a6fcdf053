import { type Comparison, type Expr, lanesWhere, nodesOf, type Primitive, unlessNaN, where } from './expr.ts';
import { Body } from './wasm/body.ts';
import { f32x4, type V128, v128 } from './wasm/values.ts';

/** A language that expressions are written in, and what a value is in it: a text, or instructions. */
export interface Language<T> {
  /** A number of the expression itself. */
  constant(value: number): T;
  call(of: Primitive, args: readonly T[]): T;
  /** The truth of a comparison. */
  compare(sign: Comparison, x: T, y: T): T;
  /** The truth of a value that is no comparison. */
  isNotZero(value: T): T;
  /** The value, and NaN where x, which has a name, is. */
  unlessNaN(value: T, x: T): T;
  /** States that a value has that name, and gives it. */
  named(name: string, value: T): T;
}

/** WGSL on f32, or on four elements at once; its statements are added to `lines`. */
export function wgslOf(type: 'f32' | 'vec4f', lines: string[]): Language<string> {
  const splat = (value: number) => (type === 'f32' ? f32Literal(value) : `vec4f(${f32Literal(value)})`);
  return {
    constant: splat,
    call: (of, args) => of.wgsl(args, splat),
    compare: (sign, x, y) => `${x} ${sign} ${y}`,
    isNotZero: (text) => `${text} != ${splat(0)}`,
    unlessNaN: (text, x) => unlessNaN(text, x, splat(0)),
    named(name, text) {
      lines.push(`let ${name} = ${text};`);
      return name;
    },
  };
}

function f32Literal(value: number): string {
  const text = String(Math.fround(value) === value ? value : Number(value.toPrecision(9)));
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** JavaScript; its statements are added to `lines`. */
export const javaScript = (lines: string[]): Language<string> => ({
  constant: (value) => (value < 0 ? `(${value})` : String(value)),
  call: (of, args) => of.js(...args),
  compare: (sign, x, y) => `${x} ${sign} ${y}`,
  isNotZero: (text) => `${text} != 0`,
  unlessNaN: (text, x) => `(${x} == ${x} ? ${text} : ${x})`,
  named(name, text) {
    lines.push(`const ${name} = ${text};`);
    return name;
  },
});

/** WebAssembly on f32x4, in statements of the body. Every value has a name already; a truth is a mask. */
export const webAssembly = (w: Body): Language<V128> => ({
  constant: (value) => f32x4.const(value),
  call: (of, args) => w.let(of.wasm!(args, w)),
  compare: (sign, x, y) => w.let(lanesWhere[sign](x, y)),
  isNotZero: (value) => w.let(f32x4.ne(value, f32x4.const(0))),
  unlessNaN: (value, x) => w.let(v128.or(value, f32x4.ne(x, x))),
  named: (_, value) => value,
});

/** True where every function of the expressions has instructions. */
export const hasWebAssembly = (values: readonly Expr[]): boolean =>
  nodesOf(values).every(({ of }) => typeof of === 'string' || of.wasm !== undefined);

/** About how many nanoseconds four elements of the expressions take: one for each 150 bytes of code. */
export function costOf(values: readonly Expr[]): number {
  const w = new Body([]);
  const leaves = nodesOf(values).filter(({ of }) => typeof of === 'string' && of !== 'constant');
  const given = w.local('v128');
  new Writer(webAssembly(w), new Map(leaves.map((leaf) => [leaf, given]))).write(values);
  return w.module().length / 150;
}

/**
 * Writes expressions in a language, one after the other: `names` has what the leaves are, and whatever is
 * already named, and gains what gets a name: a value used more than once is stated once.
 */
export class Writer<T> {
  readonly names: Map<Expr, T>;
  readonly #language: Language<T>;
  readonly #prefix: string;
  #named = 0;

  constructor(language: Language<T>, names: ReadonlyMap<Expr, T>, prefix = 't') {
    this.names = new Map(names);
    this.#language = language;
    this.#prefix = prefix;
  }

  /** The values of the expressions, after the statements that they need. */
  write(roots: readonly Expr[]): T[] {
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
    return roots.map((root) => this.#value(root, uses));
  }

  /** Gives an expression a name, if it has none. */
  declare(node: Expr): void {
    if (this.names.has(node) || node.of === 'constant') return;
    const [value] = this.write([node]);
    if (!this.names.has(node)) this.#name(node, value);
  }

  #name(node: Expr, value: T): T {
    const name = this.#language.named(`${this.#prefix}${this.#named++}`, value);
    this.names.set(node, name);
    return name;
  }

  #value(node: Expr, uses: ReadonlyMap<Expr, number>): T {
    const named = this.names.get(node);
    if (named !== undefined) return named;
    if (node.of === 'constant') return this.#language.constant(node.value);
    if (typeof node.of === 'string') throw new Error(`an expression cannot have ${node.of} here`);
    const { of } = node;
    const value =
      of === where
        ? this.#where(node, uses)
        : this.#language.call(
            of,
            node.args.map((arg) => (of.repeats ? this.#repeatable(arg, uses) : this.#value(arg, uses))),
          );
    return uses.get(node)! > 1 ? this.#name(node, value) : value;
  }

  /** The sign of a comparison that has no name yet. */
  #signOf(node: Expr): Comparison | undefined {
    return typeof node.of === 'string' || this.names.has(node) ? undefined : node.of.condition;
  }

  /** The name of a value, or a constant: what a text may have several times. */
  #repeatable(node: Expr, uses: ReadonlyMap<Expr, number>): T {
    const value = this.#value(node, uses);
    return this.names.has(node) || node.of === 'constant' ? value : this.#name(node, value);
  }

  #where({ args: [condition, x, y] }: Expr, uses: ReadonlyMap<Expr, number>): T {
    const sign = this.#signOf(condition);
    const results = (truth: T) => [truth, this.#value(x, uses), this.#value(y, uses)];
    if (sign) {
      const [a, b] = condition.args.map((arg) => this.#value(arg, uses));
      return this.#language.call(where, results(this.#language.compare(sign, a, b)));
    }
    const named = this.#repeatable(condition, uses);
    const chosen = this.#language.call(where, results(this.#language.isNotZero(named)));
    return this.#language.unlessNaN(chosen, named);
  }
}
