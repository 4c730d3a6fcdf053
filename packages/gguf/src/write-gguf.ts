import { writeAtomic } from '@flex/base';
import { fromFloat32 } from '@flex/tensor/safetensors';
import {
  type GgufMetadata,
  type GgufTensorInfo,
  type GgufType,
  ggufBytes,
  ggufHeader,
  padding,
} from './gguf-format.ts';
import { quantizeQ8 } from './quantize-q8.ts';

/** A tensor to write; its numbers in f32, in pieces of whole blocks of its type. */
export interface GgufTensor extends GgufTensorInfo {
  values(): Iterable<Float32Array>;
}

/** What was written. */
export interface WrittenGguf {
  readonly tensors: number;
  readonly parameters: number;
  /** Of the whole file. */
  readonly bytes: number;
}

/**
 * Writes a GGUF file, a piece of a tensor at a time, each number rounded once to its tensor's type. The file
 * appears whole or not at all. Throws DataError, which names the tensor, for a finite number that its type
 * cannot hold, and where the disk refuses.
 */
export function writeGguf(path: string, metadata: GgufMetadata, tensors: readonly GgufTensor[]): WrittenGguf {
  const header = ggufHeader(metadata, tensors);
  writeAtomic(path, pieces(header, tensors));
  let [parameters, bytes] = [0, header.length];
  for (const tensor of tensors) {
    const own = ggufBytes(tensor);
    parameters += tensor.shape.reduce((product, n) => product * n, 1);
    bytes += own + padding(own);
  }
  return { tensors: tensors.length, parameters, bytes };
}

function* pieces(header: Buffer, tensors: readonly GgufTensor[]): Generator<Uint8Array> {
  yield header;
  for (const tensor of tensors) {
    const { name, type } = tensor;
    let written = 0;
    for (const values of tensor.values()) {
      const bytes = stored(name, type, values);
      written += bytes.length;
      yield bytes;
    }
    const needed = ggufBytes(tensor);
    if (written !== needed)
      throw new Error(`gguf: tensor "${name}" has ${written} bytes, and needs ${needed}`);
    yield new Uint8Array(padding(needed));
  }
}

/** Numbers as a type has them. */
function stored(name: string, type: GgufType, values: Float32Array): Uint8Array {
  if (type === 'Q8_0') return quantizeQ8(name, values);
  const { buffer, byteOffset, byteLength } = type === 'F32' ? values : fromFloat32(name, type, values);
  return new Uint8Array(buffer, byteOffset, byteLength);
}
