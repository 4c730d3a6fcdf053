import type { Backend, DeviceBuffer } from './backend.ts';
import { ShapeError } from './errors.ts';
import { toFloat16Bits } from './half-floats.ts';
import type { AnyOp, HostArray, Op } from './op.ts';
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
  #storage: Storage | null;

  constructor(spec: Spec, backend: Backend, storage: Storage) {
    this.shape = spec.shape;
    this.dtype = spec.dtype;
    this.backend = backend;
    this.#storage = storage;
    storage.owners++;
    scopes.at(-1)?.add(this);
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
    return this.backend.read(this.buffer, this);
  }

  /** The only element. Throws ShapeError when there are more. */
  async item(): Promise<number> {
    if (size(this.shape) !== 1) throw new ShapeError(`item: needs one element, got ${show(this)}`);
    return (await this.data())[0];
  }

  /** The same memory under another shape of the same size, unseen by recorders; `reshape` is the op. */
  alias(shape: Shape): Tensor {
    return new Tensor({ shape, dtype: this.dtype }, this.backend, this.#owned());
  }

  /** Frees the memory unless a view still needs it. Scopes do this; calling it twice is harmless. */
  dispose(): void {
    const storage = this.#storage;
    if (!storage) return;
    this.#storage = null;
    if (--storage.owners === 0) this.backend.free(storage.buffer, storage.spec);
  }

  #owned(): Storage {
    if (!this.#storage)
      throw new Error(`${show(this)} was used after it was freed; return it from its scope`);
    return this.#storage;
  }
}

const scopes: Set<Tensor>[] = [];

/**
 * Runs f and frees every tensor made inside, except those in what it returns (arrays, Maps and plain
 * objects). While a recorder listens nothing is freed, since its tape needs them: they go to the scope
 * around.
 */
export function scope<T>(f: () => T): T {
  const made = new Set<Tensor>();
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
    const outer = isRecording() ? scopes.at(-1) : undefined;
    for (const t of made) {
      if (!isRecording()) t.dispose();
      else outer?.add(t);
    }
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
  record(op: AnyOp, inputs: readonly Tensor[], output: Tensor, attrs: object): void;
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

export function isRecording(): boolean {
  return recorders.length > 0;
}

/** Runs an op on tensors of one backend. */
export function apply<A extends object>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor {
  const spec = op.infer(inputs, attrs);
  const { backend } = inputs[0];
  for (const t of inputs) {
    if (t.backend !== backend)
      throw new Error(`${op.name}: inputs are on ${backend.name} and ${t.backend.name}`);
  }
  const output = op.wgsl ? compute(backend, op as AnyOp, inputs, spec, attrs) : inputs[0].alias(spec.shape);
  record(op as AnyOp, inputs, output, attrs);
  return output;
}

/** Tells the recorders of an op that ran, as `apply` does: for what computes its output in its own way. */
export function record(op: AnyOp, inputs: readonly Tensor[], output: Tensor, attrs: object): void {
  for (const r of recorders) r.record(op, inputs, output, attrs);
}

function compute(backend: Backend, op: AnyOp, inputs: readonly Tensor[], spec: Spec, attrs: object): Tensor {
  return new Tensor(spec, backend, { buffer: backend.run(op, inputs, spec, attrs), spec, owners: 0 });
}

/** A tensor of numbers from the host. For f16 the numbers are rounded to nearest even. */
export function tensor(
  backend: Backend,
  data: HostArray | readonly number[],
  shape: Shape,
  dtype: DType = 'f32',
): Tensor {
  const spec: Spec = { shape, dtype };
  if (data.length !== size(shape))
    throw new ShapeError(`tensor: ${data.length} numbers do not fill ${show(spec)}`);
  const buffer = backend.allocate(spec);
  backend.write(buffer, spec, toHost(data, dtype), 0);
  return new Tensor(spec, backend, { buffer, spec, owners: 0 });
}

/**
 * A tensor whose elements are written piece by piece (see Backend.write), for weights larger than a scratch.
 */
export function tensorFromChunks(
  backend: Backend,
  spec: Spec,
  chunks: Iterable<HostArray | Uint16Array>,
): Tensor {
  const buffer = backend.allocate(spec);
  let start = 0;
  for (const chunk of chunks) {
    backend.write(buffer, spec, chunk, start);
    start += chunk.length;
  }
  if (start !== size(spec.shape)) throw new ShapeError(`tensor: ${start} numbers do not fill ${show(spec)}`);
  return new Tensor(spec, backend, { buffer, spec, owners: 0 });
}

function toHost(data: HostArray | readonly number[], dtype: DType): HostArray | Uint16Array {
  if (dtype === 'f16') return toFloat16Bits(data);
  if (dtype === 'i32') return data instanceof Int32Array ? data : Int32Array.from(data);
  if (dtype === 'u32') return data instanceof Uint32Array ? data : Uint32Array.from(data);
  return data instanceof Float32Array || data instanceof Float64Array ? data : Float64Array.from(data);
}

/** True when both have the same shape and element type. */
export function sameSpec(a: Spec, b: Spec): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}
