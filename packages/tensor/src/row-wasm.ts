import { column, count, type Expr, operand } from './expr.ts';
import { costOf, hasWebAssembly, Writer, webAssembly } from './expr-writer.ts';
import { keepByKey } from './keep-by-key.ts';
import { f32, type Immediate } from './kernel-record.ts';
import { leavesOf, planOf, type RowProgram, type Rows } from './row-plan.ts';
import type { Spec } from './shape.ts';
import {
  element,
  type Four,
  f32x4,
  firstOf,
  type I32,
  i32,
  i32x4,
  type KernelBody,
  type Local,
  shuffle32,
  type V128,
  v128,
  type WasmKernel,
  wasmKernel,
  wholeFour,
} from './wasm/index.ts';

/**
 * A row program for the CPU engine, or undefined where a function of its expressions has no instructions.
 * An item is a row, of which four elements are computed at once; where rows are columns of memory it is four
 * rows side by side. Of each of the two ways one kernel is made and kept.
 */
export function rowWasm(
  program: RowProgram,
  rows: Rows,
  inputs: readonly Spec[],
  outputs: readonly Spec[],
): WasmKernel | undefined {
  const { outer, n, inner, numbers, period, offset } = rows;
  const isAcross = inner > 1;
  const made = kernels(program, isAcross, () =>
    hasWebAssembly(program.values) ? newKernel(program, isAcross, inputs, outputs) : null,
  );
  if (made === null) return undefined;
  const immediates: Immediate[] = [n];
  if (isAcross) immediates.push(inner);
  if (program.prefix) immediates.push(period, offset);
  if (program.joined) immediates.push(outer * inner);
  for (const number of numbers) immediates.push(f32(number));
  const items = outer * (isAcross ? Math.ceil(inner / 4) : inner);
  const vectors = isAcross ? n : n / 4;
  return { ...made, items, cost: startCost + vectors * made.cost, immediates };
}

/** Of a row besides its elements, in nanoseconds. */
const startCost = 10;

/** Of each way of reading, with the cost of a vector. */
const kernels = keepByKey<RowProgram, boolean, WasmKernel | null>();

/** Addresses and sizes, as the record names them. */
type Names = Readonly<Record<string, Local<'i32'>>>;

function newKernel(
  program: RowProgram,
  isAcross: boolean,
  inputs: readonly Spec[],
  outputs: readonly Spec[],
): WasmKernel {
  const { name, kinds, values, prefix = false, joined = false } = program;
  if (isAcross && prefix) throw new Error(`${name}: rows of a prefix program lie along the last axis`);
  const places = kinds.flatMap((kind, place) => (kind === 'number' ? [] : [place]));
  const numbers = kinds.flatMap((kind, place) => (kind === 'number' ? [place] : []));
  const reduced = planOf(program).stages.flatMap(({ reductions }) => reductions.map(({ args }) => args[0]));
  // Sizes and numbers are those of a call.
  const params: Record<string, Immediate> = { n: 0 };
  if (isAcross) params.inner = 0;
  if (prefix) Object.assign(params, { period: 0, offset: 0 });
  if (joined) params.rows = 0;
  for (const place of numbers) params[`x${place}`] = f32(0);
  return wasmKernel({
    name,
    in: Object.fromEntries(places.map((place, i) => [`x${place}s`, inputs[i]])),
    out: Object.fromEntries(outputs.map((output, k) => [`out${k}`, output])),
    params,
    items: 0,
    cost: costOf([...reduced, ...values]),
    variant: [isAcross],
    body(w, given) {
      const names = given as Names;
      const ofAll = numbers.map((place): [Expr, V128] => [
        operand(place),
        w.let(f32x4.splat(given[`x${place}`])),
      ]);
      w.range(w.from, w.to, 1, (item) => {
        const layout = isAcross ? across(w, names, item) : along(w, names, item, prefix);
        bodyOf(w, program, new Map(ofAll), names, layout, outputs);
      });
    },
  });
}

/** How the rows of an item lie in memory: along it, or four side by side. */
interface Layout {
  /** The number of the first row. */
  readonly row: I32;
  /** How many elements of a row are seen. */
  readonly seen: I32;
  /** How many of them a vector has: four of one row, or one of each of four. */
  readonly step: 1 | 4;
  /** The lanes of a vector that lies in the row as a whole, and of the row's last one, at i. */
  readonly inside: Four;
  last(i: I32): Four;
  /** The place of element i among all elements. */
  at(i: I32): I32;
  /** The numbers of elements in their row, from i on. */
  columns(i: I32): V128;
  /** What an operand of one number a column has from i on. */
  ofColumns(array: I32, i: I32): V128;
  /** What an operand of one number a row has, and how that is written. */
  ofRows(array: I32): V128;
  storeRows(array: I32, value: V128): void;
  /** What lanes of one row make together. */
  together(value: V128, combine: Combine): V128;
}

type Combine = (x: V128, y: V128) => V128;

/** Along row `item`. */
function along(w: KernelBody, { n, period, offset }: Names, item: I32, prefix: boolean): Layout {
  const base = w.let(i32.mul(item, n));
  const seen = prefix ? w.let(prefixOf(w, item, n, period, offset)) : n;
  return {
    row: item,
    seen,
    step: 4,
    inside: wholeFour(w),
    last: (i) => firstOf(w, w.let(i32.sub(seen, i))),
    at: (i) => i32.add(base, i),
    columns: (i) => f32x4.convertI32x4S(i32x4.add(i32x4.splat(i), i32x4.const(0, 1, 2, 3))),
    ofColumns: (array, i) => v128.load(element(array, i)),
    ofRows: (array) => v128.load32Splat(element(array, item)),
    storeRows: (array, value) => w.storeLane32(element(array, item), value, 0),
    together(value, combine) {
      const pairs = w.let(combine(value, shuffle32(value, value, [2, 3, 0, 1])));
      return w.let(combine(pairs, shuffle32(pairs, pairs, [1, 0, 3, 2])));
    },
  };
}

/** Row i of a block of `period` sees offset + i + 1 elements; with a period of 0 all do. */
function prefixOf(w: KernelBody, row: I32, n: I32, period: I32, offset: I32): I32 {
  const place = i32.remU(row, i32.select(period, 1, period));
  const prefix = w.let(i32.add(i32.add(place, offset), 1));
  return i32.select(i32.min(prefix, n), n, period);
}

/** Down four neighbouring columns of a matrix [n, inner], or as many as there are. */
function across(w: KernelBody, { n, inner }: Names, item: I32): Layout {
  const groups = w.let(i32.shrU(i32.add(inner, 3), 2));
  const block = w.let(i32.divU(item, groups));
  const first = w.let(i32.shl(i32.sub(item, i32.mul(block, groups)), 2));
  const row = w.let(i32.add(i32.mul(block, inner), first));
  const base = w.let(i32.add(i32.mul(i32.mul(block, n), inner), first));
  const { store } = firstOf(w, w.let(i32.sub(inner, first)));
  // Lanes that are no row are computed like the others, and never written.
  const inside: Four = { store, only: (value) => value };
  return {
    row,
    seen: n,
    step: 1,
    inside,
    last: () => inside,
    at: (i) => i32.add(base, i32.mul(i, inner)),
    columns: (i) => f32x4.convertI32x4S(i32x4.splat(i)),
    ofColumns: (array, i) => v128.load32Splat(element(array, i)),
    ofRows: (array) => v128.load(element(array, row)),
    storeRows: (array, value) => store(element(array, row), value),
    together: (value) => value,
  };
}

/** Accumulators of a walk, and the vectors that they take before they are added up: long sums stay exact. */
const [accumulators, blockLength] = [4, 1024];

/** Reduces values along the rows. `values` adds the statements for the vector at i. */
function reduce(
  w: KernelBody,
  { seen, step, inside, last, together }: Layout,
  reductions: readonly Expr[],
  values: (i: I32, four: Four) => readonly V128[],
): V128[] {
  const rules = reductions.map(({ of }) =>
    of === 'rowSum'
      ? { start: f32x4.const(0), combine: f32x4.add }
      : { start: f32x4.const(-Infinity), combine: maximum },
  );
  /** NUMERICS: NaN where either is, as f32x4.max, in three instructions in place of eight. */
  function maximum(x: V128, y: V128): V128 {
    const other = w.let(y);
    return v128.or(f32x4.pmax(x, other), f32x4.ne(other, other));
  }
  const newSet = () => rules.map(({ start }) => w.let(start));
  const take = (set: readonly Local<'v128'>[], taken: readonly V128[]) =>
    rules.forEach(({ combine }, k) => void w.set(set[k], combine(set[k], taken[k])));
  const totals = newSet();
  const whole = w.let(i32.and(seen, -accumulators * step));
  w.range(0, whole, blockLength * step, (block) => {
    const sets = Array.from({ length: accumulators }, newSet);
    const end = w.let(i32.min(i32.add(block, blockLength * step), whole));
    w.range(block, end, accumulators * step, (i) =>
      sets.forEach((set, k) => void take(set, values(w.let(i32.add(i, k * step)), inside))),
    );
    for (let half = accumulators / 2; half >= 1; half /= 2) {
      for (let k = 0; k < half; k++) take(sets[k], sets[k + half]);
    }
    take(totals, sets[0]);
  });
  w.range(whole, seen, step, (i) => {
    const four = last(i);
    take(
      totals,
      values(i, four).map((value, k) => four.only(value, rules[k].start)),
    );
  });
  return rules.map(({ combine }, k) => together(totals[k], combine));
}

/** The statements of an item: a walk for each stage of reductions, and one that writes the result. */
function bodyOf(
  w: KernelBody,
  { kinds, values, prefix = false, joined = false }: RowProgram,
  ofAll: ReadonlyMap<Expr, V128>,
  names: Names,
  layout: Layout,
  outputs: readonly Spec[],
): void {
  const { byElement, isOfElement, stages, needs, stash } = planOf({ kinds, values });
  const { seen, step, inside, last } = layout;
  const outer = new Writer(webAssembly(w), ofAll);
  outer.names.set(count, w.let(f32x4.convertI32x4S(i32x4.splat(seen))));
  kinds.forEach((kind, place) => {
    if (kind !== 'cell' && kind !== 'index') return;
    const given = layout.ofRows(names[`x${place}s`]);
    outer.names.set(operand(place), w.let(kind === 'cell' ? given : f32x4.convertI32x4S(given)));
  });
  const leafAt = (node: Expr, i: I32, at: I32): V128 => {
    if (node === column) return layout.columns(i);
    const array = names[`x${node.value}s`];
    return kinds[node.value] === 'row' ? v128.load(element(array, at)) : layout.ofColumns(array, i);
  };
  /** The values of expressions for the elements at i; what is `known` lies in the first output. */
  const valuesAt = (roots: readonly Expr[], i: I32, at: I32, known: Expr | null): V128[] => {
    const inner = new Writer(webAssembly(w), outer.names);
    if (known) inner.names.set(known, w.let(v128.load(element(names.out0, at))));
    for (const node of leavesOf(roots, inner.names).filter(isOfElement))
      inner.names.set(node, w.let(leafAt(node, i, at)));
    return inner.write(roots);
  };

  for (const { needs, reductions } of stages) {
    for (const node of needs) outer.declare(node);
    const roots = reductions.map(({ args }) => args[0]);
    const reduced = reduce(w, layout, reductions, (i, four) => {
      const at = w.let(layout.at(i));
      const taken = valuesAt(roots, i, at, null);
      if (stash && roots.includes(stash)) four.store(element(names.out0, at), taken[roots.indexOf(stash)]);
      return taken;
    });
    reductions.forEach((node, k) => void outer.names.set(node, reduced[k]));
  }
  for (const node of needs) outer.declare(node);
  const asStored = (value: V128, k: number) =>
    outputs[k].dtype === 'i32' ? i32x4.truncSatF32x4S(value) : value;
  if (!byElement) {
    outer.write(values).forEach((value, k) => {
      if (joined) layout.storeRows(w.let(element(names.out0, i32.mul(names.rows, k))), value);
      else layout.storeRows(names[`out${k}`], asStored(value, k));
    });
    return;
  }
  const write = (i: I32, four: Four) => {
    const at = w.let(layout.at(i));
    const results = valuesAt(values, i, at, stash).map(asStored);
    results.forEach((result, k) => void four.store(element(names[`out${k}`], at), result));
  };
  const whole = w.let(i32.and(seen, -step));
  w.range(0, whole, step, (i) => write(i, inside));
  if (step > 1) w.if(i32.ltS(whole, seen), () => write(whole, last(whole)));
  if (!prefix) return;
  const unseen = i32.shl(i32.sub(names.n, seen), 2);
  values.forEach((_, k) => void w.zero(element(names[`out${k}`], layout.at(seen)), unseen));
}
