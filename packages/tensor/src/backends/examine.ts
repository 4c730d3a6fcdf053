import type { Backend, DeviceBuffer } from '../backend.ts';
import { countNonFinite } from '../ops/count-non-finite.ts';
import { type Spec, size } from '../shape.ts';
import { eachTensor, keep, Tensor, withoutRecorders } from '../tensor.ts';

/** Where the numbers of a tensor come from, and how many of them are not finite. */
export interface Origin {
  /** The op that computed them; null where the host wrote them, or where they were there before. */
  readonly op: string | null;
  /** The name of a tensor that was there before. */
  readonly name: string | null;
  readonly spec: Spec;
  readonly nan: number;
  /** +∞ and −∞. */
  readonly infinite: number;
  /** What the op read; where there is none, the named tensors in whose place these numbers lie. */
  readonly inputs: readonly Origin[];
  /** When: the first is 0. */
  readonly place: number;
}

export interface Examination<T> {
  readonly value: T;
  /** Of a tensor in the value. */
  originOf(t: Tensor): Origin;
}

/** An origin whose numbers are counted while the run goes on. */
type Counted = { -readonly [K in keyof Origin]: Origin[K] } & { readonly offset: number };

/** Whether the elements of a piece of memory are all among those of another. */
const holds = (all: Piece, some: Piece): boolean =>
  all.offset <= some.offset && some.offset + size(some.shape) <= all.offset + size(all.shape);
type Piece = Pick<Tensor, 'offset' | 'shape'>;

/**
 * Runs f and counts the numbers that are not finite in whatever a kernel reads or writes, so that the first
 * op that made one can be told. `names` are those of tensors that are there before. It computes what f
 * computes, slowly: each kernel is followed by another for each output.
 */
export async function examine<T>(
  backend: Backend,
  names: ReadonlyMap<string, Tensor>,
  f: () => T,
): Promise<Examination<T>> {
  const named = new Map<DeviceBuffer, (Spec & Piece & { readonly name: string })[]>();
  for (const [name, { buffer, shape, dtype, offset }] of names)
    named.set(buffer, [...(named.get(buffer) ?? []), { name, shape, dtype, offset }]);
  const written = new Map<DeviceBuffer, Counted>();
  /** What was there before, in the pieces in which it was read. */
  const there = new Map<DeviceBuffer, Counted[]>();
  const counts: Promise<void>[] = [];
  const { run, write } = backend;
  let places = 0;
  const counted = (t: Tensor, from: Pick<Origin, 'op' | 'name' | 'inputs'>, place = places++): Counted => {
    const { shape, dtype, offset } = t;
    const made = { ...from, spec: { shape, dtype }, nan: 0, infinite: 0, place, offset };
    if (dtype === 'f32' || dtype === 'f16') counts.push(count(t, made));
    return made;
  };
  const count = async (t: Tensor, into: Counted): Promise<void> => {
    const pieces = keep(unwatched(() => withoutRecorders(() => countNonFinite(t))));
    const numbers = await pieces.data();
    pieces.dispose();
    for (let i = 0; i < numbers.length; i += 2) {
      into.nan += numbers[i];
      into.infinite += numbers[i + 1];
    }
  };
  const readFrom = (t: Tensor): Origin => {
    const known = written.get(t.buffer);
    if (known && known.offset === t.offset && size(known.spec.shape) === size(t.shape)) return known;
    // A part of what an op wrote may be finite where the whole is not.
    if (known) return counted(t, known, known.place);
    const before = there.get(t.buffer) ?? [];
    const seen = before.find(({ offset, spec }) => offset === t.offset && size(spec.shape) === size(t.shape));
    if (seen) return seen;
    const all = named.get(t.buffer) ?? [];
    const name = all.find((one) => holds(one, t))?.name ?? null;
    // A stack of named tensors: each by itself, so that the one with the number can be told.
    const pieces = name === null ? all.filter((one) => holds(t, one)) : [];
    const inputs = pieces.map((piece) => readFrom(borrowed(t.buffer, piece, piece.offset)));
    const read = counted(t, { op: null, name, inputs });
    there.set(t.buffer, [...(there.get(t.buffer) ?? []), read]);
    return read;
  };
  /** A tensor of memory that others own: one owner more than there is, so that it is not freed here. */
  const borrowed = (buffer: DeviceBuffer, spec: Spec, offset = 0) =>
    new Tensor(spec, backend, { buffer, spec, owners: 1 }, offset);
  const watched: Pick<Backend, 'run' | 'write'> = {
    run(op, inputs, outputs, attrs, taken) {
      const read = inputs.map(readFrom);
      const buffers = run.call(backend, op, inputs, outputs, attrs, taken);
      for (const [k, buffer] of buffers.entries()) {
        const output = borrowed(buffer, outputs[k]);
        written.set(buffer, counted(output, { op: op.name, name: null, inputs: read }));
        output.dispose();
      }
      return buffers;
    },
    write(buffer, ...rest) {
      for (const memory of [written, there, named]) memory.delete(buffer);
      write.call(backend, buffer, ...rest);
    },
  };
  const unwatched = <R>(g: () => R): R => {
    Object.assign(backend, { run, write });
    try {
      return g();
    } finally {
      Object.assign(backend, watched);
    }
  };
  let value: T;
  const results = new Map<Tensor, Origin>();
  try {
    Object.assign(backend, watched);
    value = f();
    eachTensor(value, (t) => results.set(t, readFrom(t)));
  } finally {
    Object.assign(backend, { run, write });
  }
  await Promise.all(counts);
  return { value, originOf: (t) => results.get(t)! };
}

/** What made the first number that is not finite, and where that is NaN made of ∞, what made this. */
export interface Culprit {
  readonly made: Origin;
  readonly of: Origin | null;
}

const isWrong = ({ nan, infinite }: Origin): boolean => nan + infinite > 0;

/**
 * The first that made a number not finite of those that reach one of the results; null where all are finite.
 * An infinity that an op takes and gives nothing of, as a softmax does of a mask, reaches none.
 */
export function culpritOf(results: readonly Origin[]): Culprit | null {
  const found = results.filter(isWrong).map((result): Culprit => {
    const made = result.nan > 0 ? earliest(result, ({ nan }) => nan > 0) : earliest(result, isWrong);
    const source = made.nan > 0 ? made.inputs.find(isWrong) : undefined;
    return { made, of: source ? earliest(source, isWrong) : null };
  });
  return found.reduce<Culprit | null>(
    (first, one) => (first && first.made.place <= one.made.place ? first : one),
    null,
  );
}

/** Back from op to op, as long as something that one read is so. */
function earliest(from: Origin, isSo: (one: Origin) => boolean): Origin {
  let at = from;
  for (let next: Origin | undefined = at; next; ) {
    at = next;
    next = at.inputs.filter(isSo).sort((a, b) => a.place - b.place)[0];
  }
  return at;
}

/** The name of the named tensor that is the fewest ops before an origin; null where there is none. */
export function nearestName(origin: Origin): string | null {
  const seen = new Set([origin]);
  for (const one of seen) {
    if (one.name !== null) return one.name;
    if (one.op !== null) for (const input of one.inputs) seen.add(input);
  }
  return null;
}
