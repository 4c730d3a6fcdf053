import { DataError } from '@flex/base';
import {
  type Backend,
  type DType,
  empty,
  isQuantized,
  newQuantizer,
  type Quantizer,
  size,
  type Tensor,
} from '@flex/tensor';
import { type SafetensorsDType, toFloat16, toFloat32 } from '@flex/tensor/safetensors';
import type { Checkpoint } from './checkpoint-files.ts';
import type { ModelConfig } from './config.ts';
import type { QuantizedWeights } from './quantized-weights.ts';
import {
  matrixType,
  requireWeights,
  storedAs,
  tiedEmbeddings,
  unreadTensors,
  type WeightStorage,
} from './weights.ts';

/** Weights on a backend. */
export interface LoadedWeights {
  /** By the checkpoint's names; tied embeddings are one tensor under two of them. */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly quantized: QuantizedWeights | null;
  /** What is not as config.json or the dtype says, a line each. */
  readonly warnings: readonly string[];
}

/** How far loading is, in bytes of the files. */
export interface LoadProgress {
  readonly bytes: number;
  readonly total: number;
}

export interface LoadWeightsOptions extends WeightStorage {
  /** Told after each piece that was read and handed to the device. */
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Aborted: nothing is left on the device, and loading rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** Bytes read at a time: few enough to stay in a processor's cache from the file to the device. */
const chunkBytes = 2 ** 20;
/** Bytes handed to the device before it is waited for; it may be as much behind. */
const windowBytes = 32 * chunkBytes;

/**
 * Loads a model's weights, file after file: while the device copies a piece, the next one is read. Matrices
 * become `dtype` (rounded once to nearest even), or int8 or nf4 where `quantize` says so (from the file's own
 * numbers, with their scales once a matrix is read), norms and biases f32. `auto` is f32 where config.json
 * says that the checkpoint is, else f16, but f32 for a matrix with a number beyond f16. As in transformers,
 * embeddings that config.json ties are not tied where the checkpoint has two that differ. Holds at most 256
 * MiB besides what the device has.
 *
 * Throws DataError for a missing or misshapen tensor, for a number beyond f16 where `dtype` is f16, and for
 * one that is not finite in what is quantized.
 */
export async function loadWeights(
  backend: Backend,
  checkpoint: Checkpoint,
  config: ModelConfig,
  { dtype, quantize = null, onProgress, signal }: LoadWeightsOptions,
): Promise<LoadedWeights> {
  const { dir } = checkpoint;
  requireWeights(checkpoint, config);
  const { source, copy, warnings } = tiedEmbeddings(checkpoint, config);
  const [unread, ...others] = unreadTensors(checkpoint, config);
  if (unread !== undefined) {
    warnings.push(`${dir}: config.json has no layer for tensor "${unread}"; not read: ${1 + others.length}`);
  }
  const stored = storedAs(config, matrixType(config, dtype), quantize);
  const loaded = new Map<string, Tensor>();
  /** Matrices with a number beyond f16, which is kept. */
  const wide = new Map<string, number>();
  const errors: Record<string, number> = {};
  const total = { bytes: 0, done: 0 };
  const copies = newCopies(backend);
  const scratch = new ArrayBuffer(2 * chunkBytes);

  const begin = (name: string): Loading => {
    const { shape, dtype } = stored.get(name)!;
    const weight = empty(backend, { shape, dtype: wide.has(name) ? 'f32' : dtype });
    loaded.set(name, weight);
    const quantizer = isQuantized(weight) ? newQuantizer(weight) : null;
    return { name, weight, quantizer, written: 0, from: checkpoint.spec(name).dtype };
  };
  const load = async (names: readonly string[]): Promise<void> => {
    total.bytes += names.reduce((sum, name) => sum + checkpoint.spec(name).bytes, 0);
    let current: Loading | undefined;
    for await (const { name, bytes } of checkpoint.stream(names, chunkBytes)) {
      signal?.throwIfAborted();
      if (current?.name !== name) current = begin(name);
      const { weight, from, quantizer } = current;
      const { values, beyondF16 } = converted({ from, to: weight.dtype, scratch }, bytes);
      if (beyondF16 !== undefined && !wide.has(name)) {
        wide.set(name, beyondF16);
        if (dtype === 'f16') throw new DataError(`${dir}: ${wideLine(name, beyondF16)}; take dtype f32`);
      }
      if (quantizer) orNamed(dir, name, () => quantizer.add(values as Float32Array));
      else backend.write(weight.buffer, weight, values, current.written);
      current.written += values.length;
      if (quantizer && current.written === size(weight.shape)) {
        const made = quantizer.end();
        backend.write(weight.buffer, weight, made.bytes, 0);
        errors[name.replace(/\.weight$/, '')] = made.error;
      }
      total.done += bytes.length;
      await copies.add(bytes.length);
      onProgress?.({ bytes: total.done, total: total.bytes });
    }
  };
  try {
    await load(checkpoint.names().filter((name) => stored.has(name) && name !== copy));
    for (const name of wide.keys()) loaded.get(name)!.dispose();
    await load([...wide.keys()]);
    await copies.done();
    if (copy) loaded.set(copy, loaded.get(source)!);
    const weights = new Map([...stored.keys()].map((name) => [name, loaded.get(name)!]));
    const first = [...stored.keys()].find((name) => wide.has(name));
    if (first !== undefined) {
      const line = wideLine(first, wide.get(first)!);
      warnings.push(`${dir}: ${line}; matrices kept in f32: ${wide.size}`);
    }
    return { weights, quantized: quantize && { dtype: quantize, errors }, warnings };
  } catch (error) {
    for (const t of loaded.values()) t.dispose();
    throw error;
  }
}

/** A weight whose first elements are written. */
interface Loading {
  readonly name: string;
  readonly weight: Tensor;
  readonly quantizer: Quantizer | null;
  /** The file's type. */
  readonly from: SafetensorsDType;
  written: number;
}

/** Adds the tensor to what is wrong with its numbers. */
function orNamed(dir: string, name: string, f: () => void): void {
  try {
    f();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new DataError(`${dir}: tensor "${name}": ${error.message}`, { cause: error });
  }
}

const wideLine = (name: string, value: number): string =>
  `tensor "${name}" holds ${value}, and the largest f16 is 65504`;

/** Waits for the device, now and then, so that it is never far behind. */
function newCopies(backend: Backend): { add(bytes: number): Promise<void>; done(): Promise<void> } {
  let copying = Promise.resolve();
  let bytes = 0;
  const next = async () => {
    await copying;
    copying = backend.sync();
    copying.catch(() => {}); // told to whoever waits next
    bytes = 0;
  };
  return {
    async add(more) {
      bytes += more;
      if (bytes >= windowBytes) await next();
    },
    async done() {
      await next();
      await copying;
    },
  };
}

interface Conversion {
  readonly from: SafetensorsDType;
  readonly to: DType;
  /** Memory for the result, which holds until the next. */
  readonly scratch: ArrayBuffer;
}

/** A piece as f16, or f32 for all else that is stored, and its first number that f16 makes infinite. */
function converted(
  { from, to, scratch }: Conversion,
  bytes: Uint8Array,
): { values: Float32Array | Uint16Array; beyondF16?: number } {
  if (to !== 'f16') return { values: toFloat32(from, bytes, scratch) };
  const values = toFloat16(from, bytes, scratch);
  return { values, beyondF16: from === 'F16' ? undefined : overflowed(values, () => toFloat32(from, bytes)) };
}

/** ±∞ in f16, as the character of two bytes that a native search finds. */
const infinities = ['\u7c00', '\ufc00'];

/** The first finite number that is infinite in f16. */
function overflowed(halves: Uint16Array, values: () => Float32Array): number | undefined {
  // Nearly never there, so the bits are looked through for ±∞ before the numbers are made.
  const bytes = Buffer.from(halves.buffer, halves.byteOffset, halves.byteLength);
  if (infinities.every((infinity) => bytes.indexOf(infinity, 0, 'utf16le') < 0)) return undefined;
  return values().find((x, i) => (halves[i] & 0x7fff) === 0x7c00 && Number.isFinite(x));
}
