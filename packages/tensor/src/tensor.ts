import type { Backend, Bits, DeviceBuffer } from './backend.ts';
import { ShapeError } from './errors.ts';
import { toFloat16Bits } from './half-floats.ts';
import { type AnyOp, type HostArray, isList, type KernelOp, type Op, outputsOf } from './op.ts';
import { isQuantized, quantize } from './quantized.ts';
import { type DType, type Shape, type Spec, sameShape, show, size } from './shape.ts';

/** Memory shared by the tensors that are views of it; freed with the last of them. */
interface Storage {
  readonly buffer: DeviceBuffer;
  readonly spec: Spec;
  owners: number;
}

/**
 * Contiguous row-major elements on a backend. Immutable: every operation is a function that makes a new one.
 */
export class Tensor implements Spec {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly backend: Backend;
  /** Where its elements begin in the memory, in elements: a view's may begin behind the first. */
  readonly offset: number;
  #storage: Storage | null;
  /** The first elements, once they have been read. */
  #seen: readonly number[] | null = null;

  constructor(spec: Spec, backend: Backend, storage: Storage, offset = 0) {
    this.shape = spec.shape;
    this.dtype = spec.dtype;
    this.backend = backend;
    this.offset = offset;
    this.#storage = storage;
    storage.owners++;
    scopes.at(-1)?.add(this);
    countAlive(1);
  }

  /** The backend's handle. Throws after `dispose`. */
  get buffer(): DeviceBuffer {
    return this.#owned().buffer;
  }

  get disposed(): boolean {
    return this.#storage === null;
  }

  /** The elements on the host, f16 widened to f32; f64 from the reference backend. */
  data(): Promise<HostArray> {
    const read = this.backend.read({ buffer: this.buffer, offset: this.offset, spec: this });
    return read.then((values) => {
      this.#seen = Array.from(values.subarray(0, shown));
      return values;
    });
  }

  /** The only element. Throws ShapeError when there are more. */
  async item(): Promise<number> {
    if (size(this.shape) !== 1) throw new ShapeError(`item: needs one element, got ${show(this)}`);
    return (await this.data())[0];
  }

  /** What Node prints: the type and shape, the backend, and values where `data` has read them. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    const more = size(this.shape) > shown ? ', …' : '';
    const values = this.#seen && ` [${this.#seen.map((x) => Number(x.toPrecision(6))).join(', ')}${more}]`;
    return `Tensor ${show(this)} on ${this.backend.name}${this.disposed ? ', freed' : ''}${values ?? ''}`;
  }

  /** Frees the memory unless a view still needs it. Scopes do this; calling it twice is harmless. */
  dispose(): void {
    const storage = this.#storage;
    if (!storage) return;
    this.#storage = null;
    countAlive(-1);
    if (--storage.owners === 0) this.backend.free(storage.buffer, storage.spec);
  }

  #owned(): Storage {
    if (!this.#storage)
      throw new Error(`${show(this)} was used after it was freed; return it from its scope`);
    return this.#storage;
  }

  /** The memory behind tensors, for this file alone. */
  static storageOf(t: Tensor): Storage {
    return t.#owned();
  }
}

/** Elements that an inspected tensor shows. */
const shown = 6;

/** Tensors alive outside any scope's reach are a leak more often than not. */
const manyAlive = 10_000;
let alive = 0;
let warned = false;

function countAlive(change: number): void {
  alive += change;
  if (alive < manyAlive || warned) return;
  warned = true;
  process.emitWarning(
    `${manyAlive} tensors are alive at once; put the work of a loop into scope(() => …), which frees what it made`,
    'TensorWarning',
  );
}

/** A tensor that the caller gives up with a call: see `donate`. */
export class Donated {
  readonly tensor: Tensor;

  constructor(t: Tensor) {
    this.tensor = t;
  }
}

/**
 * Gives x up to the op that it is passed to: after the call x is freed, and where the op can, its result
 * takes x's memory over instead of new one. While something records, x stays as it is.
 */
export const donate = (x: Tensor): Donated => new Donated(x);

const scopes: Set<Tensor>[] = [];

/**
 * Runs f and frees every tensor made inside, except those in what it returns (arrays, Maps and plain
 * objects). While a recorder listens, it says which of them it can do without; the others go to the scope
 * around.
 */
export function scope<T>(f: () => T): T {
  const made = new Set<Tensor>();
  const spare = onlyRecorder()?.enter?.();
  scopes.push(made);
  try {
    const result = f();
    if (result instanceof Promise) throw new Error('scope: the function must not be asynchronous');
    const outer = scopes.at(-2);
    eachTensor(result, (t) => {
      if (made.delete(t)) outer?.add(t);
    });
    return result;
  } finally {
    scopes.pop();
    const freed = isRecording() ? (spare?.(made) ?? []) : made;
    for (const t of freed) t.dispose();
    const outer = scopes.at(-1);
    for (const t of made) if (!t.disposed) outer?.add(t);
  }
}

/** Takes a tensor out of the scopes around it: it lives until `dispose`. */
export function keep<T>(value: T): T {
  eachTensor(value, (t) => {
    for (const made of scopes) made.delete(t);
  });
  return value;
}

/** Calls f for every tensor in a value made of arrays, Maps and plain objects. */
export function eachTensor(value: unknown, f: (t: Tensor) => void): void {
  if (value instanceof Tensor) f(value);
  else if (Array.isArray(value)) for (const v of value) eachTensor(v, f);
  else if (value instanceof Map) for (const v of value.values()) eachTensor(v, f);
  else if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    for (const v of Object.values(value)) eachTensor(v, f);
  }
}

/** What sees each op as it runs. The one seam between tensors and autograd. */
export interface Recorder {
  record(op: AnyOp, inputs: readonly Tensor[], outputs: readonly Tensor[], attrs: object): void;
  /**
   * A scope begins, and nobody else records. What this gives is called as the scope ends, with the tensors
   * that it leaves behind, and says which of them may be freed. Left out: none.
   */
  enter?(): (left: ReadonlySet<Tensor>) => Iterable<Tensor>;
}

let recorders: readonly Recorder[] = [];

/** Runs f with r told of every op, besides the recorders already there. */
export function withRecorder<T>(r: Recorder, f: () => T): T {
  const before = recorders;
  recorders = [...before, r];
  try {
    return f();
  } finally {
    recorders = before;
  }
}

/** Runs f with no recorder told. */
export function withoutRecorders<T>(f: () => T): T {
  const before = recorders;
  recorders = [];
  try {
    return f();
  } finally {
    recorders = before;
  }
}

/** The recorder, where there is one alone. */
export const onlyRecorder = (): Recorder | undefined => (recorders.length === 1 ? recorders[0] : undefined);

export function isRecording(): boolean {
  return recorders.length > 0;
}

/** Runs an op of one output on tensors of one backend. */
export function apply<A extends object>(op: Op<A>, inputs: readonly (Tensor | Donated)[], attrs: A): Tensor {
  const outputs = applyAll(op, inputs, attrs);
  if (outputs.length !== 1) throw new Error(`${op.name} has ${outputs.length} outputs: take applyAll`);
  return outputs[0];
}

/** Runs an op on tensors of one backend, and gives all its outputs. */
export function applyAll<A extends object>(
  op: Op<A>,
  given: readonly (Tensor | Donated)[],
  attrs: A,
): Tensor[] {
  const inputs = given.map((x) => (x instanceof Donated ? x.tensor : x));
  const specs = outputsOf(op, inputs, attrs);
  const { backend } = inputs[0];
  for (const t of inputs) {
    if (t.backend !== backend)
      throw new Error(`${op.name}: inputs are on ${backend.name} and ${t.backend.name}`);
  }
  const outputs = compute(op, inputs, specs, attrs, given);
  for (const r of recorders) r.record(op as AnyOp, inputs, outputs, attrs);
  if (!isRecording()) for (const x of given) if (x instanceof Donated) x.tensor.dispose();
  return outputs;
}

function compute<A extends object>(
  op: Op<A>,
  inputs: readonly Tensor[],
  specs: readonly Spec[],
  attrs: A,
  given: readonly (Tensor | Donated)[],
): Tensor[] {
  const { backend } = inputs[0];
  switch (op.kind) {
    case 'view': {
      const [x] = inputs;
      return [new Tensor(specs[0], backend, Tensor.storageOf(x), x.offset + op.offset(x, attrs))];
    }
    case 'composite': {
      // Outputs are tensors of their own, whatever the function returns: one of its inputs, or one twice.
      return withoutRecorders(() =>
        scope(() => {
          const made = op.composed(inputs, attrs);
          return (isList(made) ? made : [made]).map(twin);
        }),
      );
    }
    case 'kernel': {
      const taken = takenOver(op, inputs, specs, attrs, given);
      const buffers = backend.run(op as unknown as KernelOp<object>, inputs, specs, attrs, taken);
      return specs.map((spec, k) => {
        const storage =
          taken[k] < 0 ? { buffer: buffers[k], spec, owners: 0 } : Tensor.storageOf(inputs[taken[k]]);
        return new Tensor(spec, backend, storage);
      });
    }
  }
}

/** Another tensor of the same memory, to be freed by itself. */
export const twin = (t: Tensor): Tensor => new Tensor(t, t.backend, Tensor.storageOf(t), t.offset);

/** The tensors flat, together where they lie one after the other in one memory; without the empty ones. */
export function runs(xs: readonly Tensor[]): Tensor[] {
  const all: { readonly first: Tensor; end: number }[] = [];
  for (const x of xs.filter(({ shape }) => size(shape) > 0)) {
    const last = all.at(-1);
    const end = x.offset + size(x.shape);
    if (last?.end === x.offset && Tensor.storageOf(last.first) === Tensor.storageOf(x)) last.end = end;
    else all.push({ first: x, end });
  }
  return all.map(({ first, end }) => {
    const { backend, dtype, offset } = first;
    return new Tensor({ shape: [end - offset], dtype }, backend, Tensor.storageOf(first), offset);
  });
}

/** For each output the donated input whose memory it takes, or −1. */
function takenOver<A extends object>(
  op: KernelOp<A>,
  inputs: readonly Tensor[],
  specs: readonly Spec[],
  attrs: A,
  given: readonly (Tensor | Donated)[],
): number[] {
  const none = specs.map(() => -1);
  if (!op.donates || isRecording() || !given.some((x) => x instanceof Donated)) return none;
  const candidates = op.donates(inputs, specs, attrs);
  const storages = inputs.map((t) => Tensor.storageOf(t));
  // Nobody else may see the memory: no view of it, and no other input of this call.
  const free = (i: number) =>
    given[i] instanceof Donated &&
    storages[i].owners === 1 &&
    inputs[i].offset === 0 &&
    storages.indexOf(storages[i]) === storages.lastIndexOf(storages[i]);
  const taken = new Set<number>();
  return none.map((_, k) => {
    const i = candidates[k].find((candidate) => !taken.has(candidate) && free(candidate)) ?? -1;
    taken.add(i);
    return i;
  });
}

/** A tensor of numbers from the host: to f16 rounded to nearest even, to int8 and nf4 as by `quantize`. */
export function tensor(
  backend: Backend,
  data: HostArray | readonly number[],
  shape: Shape,
  dtype: DType = 'f32',
): Tensor {
  const spec: Spec = { shape, dtype };
  if (data.length !== size(shape))
    throw new ShapeError(`tensor: ${data.length} numbers do not fill ${show(spec)}`);
  const made = empty(backend, spec);
  try {
    backend.write(made.buffer, spec, toHost(data, spec), 0);
    return made;
  } catch (error) {
    made.dispose();
    throw error;
  }
}

/** A tensor whose elements may be anything: memory to be written. */
export function empty(backend: Backend, spec: Spec): Tensor {
  return new Tensor(spec, backend, { buffer: backend.allocate(spec), spec, owners: 0 });
}

/**
 * A tensor whose elements are written piece by piece (see Backend.write), for weights larger than a scratch.
 * Of int8 and nf4 the pieces are f32, and they are written once they are quantized.
 */
export function tensorFromChunks(
  backend: Backend,
  spec: Spec,
  chunks: Iterable<HostArray | Uint16Array>,
): Tensor {
  if (isQuantized(spec)) {
    const bytes = quantize(spec, chunks as Iterable<Float32Array>);
    const made = empty(backend, spec);
    backend.write(made.buffer, spec, bytes, 0);
    return made;
  }
  const buffer = backend.allocate(spec);
  let start = 0;
  for (const chunk of chunks) {
    backend.write(buffer, spec, chunk, start);
    start += chunk.length;
  }
  if (start !== size(spec.shape)) throw new ShapeError(`tensor: ${start} numbers do not fill ${show(spec)}`);
  return new Tensor(spec, backend, { buffer, spec, owners: 0 });
}

function toHost(data: HostArray | readonly number[], spec: Spec): HostArray | Bits {
  if (isQuantized(spec)) return quantize(spec, [Float32Array.from(data)]);
  const { dtype } = spec;
  if (dtype === 'f16') return toFloat16Bits(data);
  if (dtype === 'i32') return data instanceof Int32Array ? data : Int32Array.from(data);
  if (dtype === 'u32') return data instanceof Uint32Array ? data : Uint32Array.from(data);
  return data instanceof Float32Array || data instanceof Float64Array ? data : Float64Array.from(data);
}

/** A tensor whose elements are all `value`. */
export function full(backend: Backend, shape: Shape, value: number, dtype: DType = 'f32'): Tensor {
  const numbers = new Float64Array(size(shape));
  return tensor(backend, value === 0 ? numbers : numbers.fill(value), shape, dtype);
}
export const zeros = (backend: Backend, shape: Shape, dtype: DType = 'f32'): Tensor =>
  full(backend, shape, 0, dtype);
export const ones = (backend: Backend, shape: Shape, dtype: DType = 'f32'): Tensor =>
  full(backend, shape, 1, dtype);
/** 0, 1, …, n − 1: [n]. */
export function arange(backend: Backend, n: number, dtype: DType = 'f32'): Tensor {
  return tensor(
    backend,
    Float64Array.from({ length: n }, (_, i) => i),
    [n],
    dtype,
  );
}

/** True when both have the same shape and element type. */
export function sameSpec(a: Spec, b: Spec): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}
