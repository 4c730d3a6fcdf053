import { size } from '@flex/tensor';
import { type Piece, type SafetensorsDType, safetensorsDTypes, toFloat32 } from '@flex/tensor/safetensors';

/** A model's weights as they are read: a `Checkpoint` of @flex/llama is one. */
export interface WeightFiles {
  names(): string[];
  has(name: string): boolean;
  spec(name: string): {
    readonly dtype: SafetensorsDType;
    readonly shape: readonly number[];
    readonly bytes: number;
  };
  /** The little-endian bytes of a weight in pieces of about `chunkBytes`. */
  readChunks(name: string, chunkBytes: number): Generator<Uint8Array, void, undefined>;
  /** The same of several weights, read ahead: a piece holds until the next is asked for. */
  stream(names: readonly string[], chunkBytes: number): AsyncGenerator<Piece, void, undefined>;
}

/** Rows in a piece are a multiple of this, so that no block of 64 numbers spans two pieces. */
const rowsTogether = 64;

/** A weight's numbers in pieces of whole rows, 64 or a multiple, each of about `chunkBytes`. f32 [n, columns]. */
export function* rowPieces(
  files: WeightFiles,
  name: string,
  chunkBytes: number,
): Generator<Float32Array, void, undefined> {
  const { dtype, shape } = files.spec(name);
  const numbers = rowsTogether * columnsOf(shape);
  const count = numbers * Math.max(1, Math.floor(chunkBytes / (4 * numbers)));
  for (const bytes of files.readChunks(name, count * safetensorsDTypes[dtype])) yield toFloat32(dtype, bytes);
}

/** Numbers in a row of a weight; a vector is one row. */
export const columnsOf = (shape: readonly number[]): number => shape.at(-1) ?? 1;

/** The same weights, but those that `replaces` chooses have these values, as F32. */
export function withValues<Files extends WeightFiles>(
  files: Files,
  replaces: (name: string) => boolean,
  values: (name: string, chunkBytes: number) => Generator<Float32Array, void, undefined>,
): Files {
  return {
    ...files,
    spec(name) {
      const own = files.spec(name);
      return replaces(name) ? { ...own, dtype: 'F32', bytes: 4 * size(own.shape) } : own;
    },
    *readChunks(name, chunkBytes) {
      if (!replaces(name)) return yield* files.readChunks(name, chunkBytes);
      for (const { buffer, byteOffset, byteLength } of values(name, chunkBytes)) {
        yield new Uint8Array(buffer, byteOffset, byteLength);
      }
    },
    async *stream(names, chunkBytes) {
      for (const name of names) {
        if (!replaces(name)) yield* files.stream([name], chunkBytes);
        else for (const bytes of this.readChunks(name, chunkBytes)) yield { name, bytes };
      }
    },
  };
}
