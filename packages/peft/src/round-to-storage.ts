import { DataError } from '@flex/base';
import { dequantize, newQuantizer, type QuantizedSpec, type Quantizer, ShapeError, size } from '@flex/tensor';
import { type FloatDType, fromFloat32, toFloat32 } from '@flex/tensor/safetensors';

/** How a weight may be stored. */
export const storageTypes = ['f32', 'f16', 'bf16', 'int8', 'nf4'] as const;
export type StorageType = (typeof storageTypes)[number];

/** Whether a weight is stored as a type where the model is: int8 and nf4 are for the weights of `paths` alone. */
export function storedWeights(paths: Iterable<string>): (name: string, storage: StorageType) => boolean {
  const ofModules = new Set([...paths].map((path) => `${path}.weight`));
  return (name, storage) => (storage !== 'int8' && storage !== 'nf4') || ofModules.has(name);
}

/** A weight that is to be stored as a type. */
export interface StoredWeight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly storage: StorageType;
}

/**
 * The numbers that a weight has once it is stored so, in f32 again and in pieces, from its own in pieces of
 * whole rows, 64 or a multiple:
 *
 * - f32, f16, bf16: rounded to nearest even, a piece as soon as it comes.
 * - int8 and nf4: those of `quantize`, which `model.quantize` stores, once all pieces have come.
 *
 * Throws DataError, which names the tensor, for a finite number that f16 or bf16 cannot hold, one that int8
 * or nf4 has no code for, and rows that they cannot have.
 */
export function* storedNumbers(
  { name, shape, storage }: StoredWeight,
  pieces: Iterable<Float32Array>,
): Generator<Float32Array, void, undefined> {
  const spec = specOf(shape, storage);
  if (!spec) {
    for (const w of pieces) yield rounded(name, w, storage);
    return;
  }
  const quantizer = quantizerOf(name, spec);
  let most = 1;
  for (const w of pieces) {
    quantizer.add(w);
    most = Math.max(most, w.length);
  }
  const { bytes } = quantizer.end();
  const count = size(shape);
  for (let at = 0; at < count; at += most) yield dequantize(spec, bytes, at, Math.min(count, at + most));
}

/** What storing a weight loses, of pieces of whole rows that come one after the other. */
export interface StorageLoss {
  /** Numbers f32, and what they were before they were rounded to that. */
  add(w: Float32Array, exact: Float64Array): void;
  /** ‖stored − exact‖ of all of them. */
  end(): number;
}

/** What storing a weight loses. Throws as `storedNumbers` does. */
export function newStorageLoss({ name, shape, storage }: StoredWeight): StorageLoss {
  const spec = specOf(shape, storage);
  let squares = 0;
  if (!spec) {
    return {
      add(w, exact) {
        squares += squaredDistance(rounded(name, w, storage), exact);
      },
      end: () => Math.sqrt(squares),
    };
  }
  const quantizer = quantizerOf(name, spec);
  return {
    add(w) {
      quantizer.add(w);
      for (const x of w) squares += x * x;
    },
    end: () => quantizer.end().error * Math.sqrt(squares),
  };
}

/** Σ (a − b)². */
export function squaredDistance(a: Float32Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}

const specOf = (shape: readonly number[], storage: StorageType): QuantizedSpec | null =>
  storage === 'int8' || storage === 'nf4' ? { shape, dtype: storage } : null;

const floats: Partial<Record<StorageType, FloatDType>> = { f16: 'F16', bf16: 'BF16' };

function rounded(name: string, w: Float32Array, storage: StorageType): Float32Array {
  const dtype = floats[storage];
  return dtype ? toFloat32(dtype, new Uint8Array(fromFloat32(name, dtype, w).buffer)) : w;
}

/** `newQuantizer`, whose errors name the tensor. */
function quantizerOf(name: string, spec: QuantizedSpec): Quantizer {
  const named = <T>(f: () => T): T => {
    try {
      return f();
    } catch (cause) {
      if (!(cause instanceof RangeError || cause instanceof ShapeError)) throw cause;
      throw new DataError(`tensor "${name}": ${cause.message}`, { cause });
    }
  };
  const quantizer = named(() => newQuantizer(spec));
  return { add: (piece) => named(() => quantizer.add(piece)), end: () => named(quantizer.end) };
}
