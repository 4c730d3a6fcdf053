import { DTypeError, ShapeError } from '../errors.ts';
import { kernel, wide } from '../kernel-record.ts';
import { type CompositeOp, defineOp, type KernelOp, known, sample } from '../op.ts';
import { axisIndex, type Spec, showAll, size } from '../shape.ts';
import { apply, runs, type Tensor } from '../tensor.ts';
import { copyRow, element, type I32, i32, wasmKernel } from '../wasm/index.ts';
import { reshape } from './reshape.ts';
import { checkWords, lanesFor, windowAlong } from './slice-pad.ts';

type NoAttrs = Readonly<Record<string, never>>;

/** Tensors that one kernel joins: with the result, the eight buffers that any device binds. */
const atOnce = 7;

const widthsOf = (xs: readonly Spec[]): number[] => xs.map(({ shape }) => shape[1]);
const total = (widths: readonly number[]): number => widths.reduce((sum, n) => sum + n, 0);

const joined =
  (name: string) =>
  (xs: readonly Spec[]): Spec => {
    const [{ shape, dtype }] = xs;
    checkWords(name, xs[0]);
    if (xs.some((x) => x.dtype !== dtype))
      throw new DTypeError(`${name}: element types must be equal, got ${showAll(xs)}`);
    if (xs.some((x) => x.shape[0] !== shape[0]))
      throw new ShapeError(`${name}: rows must be equal, got ${showAll(xs)}`);
    return { shape: [shape[0], total(widthsOf(xs))], dtype };
  };

/** What f makes of each, under `<name>0`, `<name>1`, … */
const numbered = <X, Y>(name: string, all: readonly X[], f: (x: X) => Y): Record<string, Y> =>
  Object.fromEntries(all.map((x, i) => [`${name}${i}`, f(x)]));

/** A few of [rows, nᵢ] → [rows, Σ nᵢ]. */
const joinOp: KernelOp<NoAttrs> = defineOp({
  kind: 'kernel',
  name: 'join',
  infer: joined('join'),
  wgsl(xs, [output]) {
    const widths = widthsOf(xs);
    const lanes = lanesFor(...widths);
    return kernel({
      name: 'join',
      in: numbered('x', xs, (x) => wide(x, lanes)),
      out: { out: wide(output, lanes) },
      params: { width: total(widths) / lanes, ...numbered('n', widths, (n) => n / lanes) },
      grid: { cells: size(output.shape) / lanes },
      body: () => `  let row = flat / p.width;
  var at = flat % p.width;
${xs
  .map(
    (_, i) => `  if (at < p.n${i}) { out[flat] = x${i}[row * p.n${i} + at]; return; }
  at -= p.n${i};`,
  )
  .join('\n')}`,
    });
  },
  host(specs, [output]) {
    const [rows, width] = output.shape;
    const widths = widthsOf(specs);
    return (xs, [out]) => {
      let at = 0;
      for (const [i, n] of widths.entries()) {
        for (let row = 0; row < rows; row++)
          out.set(xs[i].subarray(row * n, (row + 1) * n), row * width + at);
        at += n;
      }
    };
  },
  wasm(xs, [output]) {
    const widths = widthsOf(xs);
    const rows = output.shape[0];
    return wasmKernel({
      name: 'join',
      in: numbered('x', xs, (x) => x),
      out: { out: output },
      params: { ...numbered('n', widths, (n) => n) },
      items: rows,
      cost: 10 * xs.length + total(widths) / 8,
      body(w, { out, ...names }) {
        const [inputs, counts] = ['x', 'n'].map((name) => xs.map((_, i) => names[`${name}${i}`]));
        const width = w.let(counts.reduce<I32>((sum, n) => i32.add(sum, n), i32.const(0)));
        w.range(w.from, w.to, 1, (row) => {
          const to = w.let(element(out, i32.mul(row, width)));
          for (const [i, n] of counts.entries()) {
            copyRow(w, to, w.let(element(inputs[i], i32.mul(row, n))), n);
            w.set(to, element(to, n));
          }
        });
      },
    });
  },
  vjp: null,
  samples: [
    sample('[3, 2] [3, 5]', {}),
    sample('[2, 4] [2, 8]', {}),
    sample('[1, 3] [1, 1] [1, 2] [1, 4] [1, 1] [1, 5] [1, 7]', {}),
  ],
  known: [known('[[1], [2]] [[3, 4], [5, 6]]', [1, 3, 4, 2, 5, 6], {})],
});

/** [rows, nᵢ], any number of them → [rows, Σ nᵢ]. */
const concatOp: CompositeOp<NoAttrs> = defineOp({
  kind: 'composite',
  name: 'concat',
  infer: joined('concat'),
  composed(xs) {
    const shape = [xs[0].shape[0], total(widthsOf(xs))];
    let parts: readonly Tensor[] = xs;
    if (shape[0] === 1 && shape[1] > 0) parts = runs(xs).map((x) => reshape(x, [1, size(x.shape)]));
    // Each is copied log₇ n times.
    while (parts.length > 1) {
      const count = Math.ceil(parts.length / atOnce);
      const all = parts;
      parts = Array.from({ length: count }, (_, i) => {
        const few = all.slice(atOnce * i, atOnce * (i + 1));
        return few.length === 1 ? few[0] : apply(joinOp, few, {});
      });
    }
    return parts[0];
  },
  vjp([g], xs) {
    const ends: number[] = [];
    for (const n of widthsOf(xs)) ends.push((ends.at(-1) ?? 0) + n);
    return xs.map((x, i) => () => windowAlong(g, 1, ends[i] - x.shape[1], x.shape[1]));
  },
  samples: [sample('[3, 2] [3, 5]', {}), sample('[1, 3] [1, 1] [1, 2]', {})],
  known: [known('[[1, 2]] [[3]]', [1, 2, 3], {})],
});

/**
 * The tensors one after the other along an axis, negative from the end. f32, i32 or u32 [..] → [..]. Where
 * they lie so in one memory already, as the pieces of `split` along the outermost axis do, it is that memory,
 * and nothing is copied. Throws ShapeError when another axis differs, DTypeError when the element types do.
 */
export function concat(xs: readonly Tensor[], axis: number): Tensor {
  if (xs.length === 0) throw new ShapeError('concat: needs at least one tensor');
  const [x] = xs;
  const at = axisIndex('concat', x.shape, axis);
  if (
    xs.some((t) => t.shape.length !== x.shape.length || t.shape.some((n, i) => i !== at && n !== x.shape[i]))
  ) {
    throw new ShapeError(`concat: axes but ${axis} must be equal, got ${showAll(xs)}`);
  }
  const outer = size(x.shape.slice(0, at));
  const inner = size(x.shape.slice(at + 1));
  const rows = xs.map((t) => reshape(t, [outer, t.shape[at] * inner]));
  const count = xs.reduce((n, t) => n + t.shape[at], 0);
  return reshape(apply(concatOp, rows, {}), [...x.shape.slice(0, at), count, ...x.shape.slice(at + 1)]);
}
