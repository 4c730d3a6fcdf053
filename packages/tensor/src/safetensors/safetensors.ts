import { closeSync, constants, fstatSync, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { ConfigError, DataError, printable } from '@flex/base';
import {
  bfloat16BitsToFloat16Bits,
  bfloat16BitsToFloat32,
  float16BitsToFloat32,
  toBfloat16Bits,
  toFloat16Bits,
} from '../half-floats.ts';
import {
  maxHeaderBytes,
  parseHeader,
  type SafetensorsDType,
  safetensorsDTypes,
  type TensorInfo,
} from './safetensors-format.ts';

/** Bytes of a tensor that follow those before. */
export interface Piece {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** An open safetensors file: its header is in memory, its tensors are read when asked for. */
export interface SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The little-endian bytes of one tensor, in memory of their own. Throws DataError where there is none. */
  read(name: string): Uint8Array;
  /**
   * The same bytes in pieces of `chunkBytes` (the last may be shorter), each in memory of its own.
   * Throws ConfigError when that is not a whole number of elements, DataError where there is no such tensor.
   */
  readChunks(name: string, chunkBytes: number): Generator<Uint8Array, void, undefined>;
  /**
   * The same bytes of several tensors, one after the other, without waiting for the disk: while a piece is in
   * use the next one is read. A piece holds until the next is asked for. Throws as `readChunks` does.
   */
  stream(names: readonly string[], chunkBytes: number): AsyncGenerator<Piece, void, undefined>;
  /** Releases the file. Reading afterwards throws DataError; closing again does nothing. */
  close(): void;
}

/** Node refuses to read more at once than a 32-bit integer counts. */
const maxReadBytes = 1 << 30;

/**
 * Opens a safetensors file after checking that its tensors tile it exactly. Only the header is read.
 *
 * Throws DataError, in one line with the file, the tensor, what is wrong and what would be right.
 * Format: https://huggingface.co/docs/safetensors
 */
export function openSafetensors(path: string): SafetensorsFile {
  const fail = (what: string): never => {
    throw new DataError(`${path}: ${printable(what)}`);
  };
  let file: number | undefined = open(path);
  try {
    const fileBytes = fstatSync(file).size;
    const header = parseHeader(readHeader(file, fileBytes, fail), fileBytes, fail);

    function locate(name: string): [number, TensorInfo] {
      if (file === undefined) return fail(`cannot read tensor "${name}": the file was closed`);
      const info = header.tensors.get(name);
      return info ? [file, info] : fail(`there is no tensor "${name}" among its ${header.tensors.size}`);
    }

    /** A tensor's bytes in the file, in pieces. */
    function rangesOf(name: string, chunkBytes: number): { name: string; offset: number; bytes: number }[] {
      const { dtype, offset, bytes } = locate(name)[1];
      const element = safetensorsDTypes[dtype];
      if (!(chunkBytes > 0) || chunkBytes % element !== 0) {
        throw new ConfigError(
          `${path}: chunkBytes must be a multiple of ${element} for ${dtype}, got ${chunkBytes}`,
        );
      }
      return Array.from({ length: Math.ceil(bytes / chunkBytes) }, (_, i) => ({
        name,
        offset: offset + i * chunkBytes,
        bytes: Math.min(chunkBytes, bytes - i * chunkBytes),
      }));
    }

    return {
      path,
      ...header,
      read(name) {
        const [descriptor, { offset, bytes }] = locate(name);
        return readRange(descriptor, offset, bytes, fail);
      },
      *readChunks(name, chunkBytes) {
        for (const { offset, bytes } of rangesOf(name, chunkBytes)) {
          // Located anew, since the file may be closed between two pieces.
          yield readRange(locate(name)[0], offset, bytes, fail);
        }
      },
      async *stream(names, chunkBytes) {
        const ranges = names.flatMap((name) => rangesOf(name, chunkBytes));
        const longest = ranges.reduce((most, { bytes }) => Math.max(most, bytes), 0);
        const scratch = [new Uint8Array(longest), new Uint8Array(longest)];
        const begin = (i: number) => {
          const { name, offset, bytes } = ranges[i];
          const reading = fill(locate(name)[0], scratch[i % 2].subarray(0, bytes), offset, fail);
          reading.catch(() => {}); // told to whoever asks for the piece
          return reading;
        };
        let next = ranges.length > 0 ? begin(0) : undefined;
        try {
          for (const [i, { name }] of ranges.entries()) {
            const bytes = (await next)!;
            next = i + 1 < ranges.length ? begin(i + 1) : undefined;
            yield { name, bytes };
          }
        } finally {
          // Whoever leaves early may close the file, which must not be in use then.
          await Promise.allSettled([next]);
        }
      },
      close() {
        if (file !== undefined) closeSync(file);
        file = undefined;
      },
    };
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

function open(path: string): number {
  try {
    // Else opening a pipe would wait for who writes to it.
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (fstatSync(file).isFile()) return file;
    closeSync(file);
  } catch (cause) {
    throw new DataError(`${path}: cannot be opened: ${(cause as Error).message}`, { cause });
  }
  throw new DataError(`${path}: is not a file; give a .safetensors file`);
}

function readHeader(file: number, fileBytes: number, fail: (what: string) => never): Uint8Array {
  if (fileBytes < 8) fail(`the file has ${fileBytes} bytes; a safetensors file has 8 or more`);
  const length = new DataView(readRange(file, 0, 8, fail).buffer).getBigUint64(0, true);
  if (length > maxHeaderBytes) {
    fail(`the header's length is given as ${length} bytes; at most ${maxHeaderBytes} are allowed`);
  }
  if (Number(length) > fileBytes - 8) {
    fail(`the file is cut off: its header has ${length} bytes, and ${fileBytes - 8} follow its length`);
  }
  return readRange(file, 8, Number(length), fail);
}

function readRange(
  file: number,
  offset: number,
  bytes: number,
  fail: (what: string) => never,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes);
  for (let done = 0; done < bytes; ) {
    const got = readSync(file, out, done, Math.min(bytes - done, maxReadBytes), offset + done);
    if (got === 0) cutOff(offset + done, fail);
    done += got;
  }
  return out;
}

const readLater = promisify(read);

/** Fills the target with what is in the file from a byte on. */
async function fill(
  file: number,
  target: Uint8Array,
  offset: number,
  fail: (what: string) => never,
): Promise<Uint8Array> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await readLater(file, target, done, target.length - done, offset + done);
    if (bytesRead === 0) cutOff(offset + done, fail);
    done += bytesRead;
  }
  return target;
}

const cutOff = (at: number, fail: (what: string) => never): never =>
  fail(`the file was cut off while open: nothing is left at byte ${at}`);

/** The bytes as elements of a wider type: the same memory where it is aligned, else a copy. */
function as<T>(
  view: new (buffer: ArrayBufferLike, offset: number, length: number) => T,
  width: number,
  bytes: Uint8Array,
): T {
  const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  return new view(aligned.buffer, aligned.byteOffset, bytes.byteLength / width);
}

/**
 * The values of a tensor's bytes in f32: exact for F32, F16 and BF16, rounded to nearest even for F64.
 * F32 bytes that are aligned are viewed, not copied; F16 and BF16 are written into `scratch`, where it is given.
 * Throws DataError for any other dtype.
 */
export function toFloat32(dtype: SafetensorsDType, bytes: Uint8Array, scratch?: ArrayBuffer): Float32Array {
  const count = bytes.length / safetensorsDTypes[dtype];
  const into = () => (scratch ? new Float32Array(scratch, 0, count) : new Float32Array(count));
  switch (dtype) {
    case 'F32':
      return as(Float32Array, 4, bytes);
    case 'F16':
      return float16BitsToFloat32(as(Uint16Array, 2, bytes), into());
    case 'BF16':
      return bfloat16BitsToFloat32(as(Uint16Array, 2, bytes), into());
    case 'F64':
      return new Float32Array(as(Float64Array, 8, bytes));
    default:
      throw new DataError(`weights must be F32, F16, BF16 or F64, got ${dtype}`);
  }
}

/**
 * The f16 bits of a tensor's bytes, rounded to nearest even. Aligned F16 bytes are viewed, not copied; others
 * are written into `scratch`, where it is given. Throws DataError when the dtype is none of F32, F16, BF16 and
 * F64.
 */
export function toFloat16(dtype: SafetensorsDType, bytes: Uint8Array, scratch?: ArrayBuffer): Uint16Array {
  if (dtype === 'F16') return as(Uint16Array, 2, bytes);
  const count = bytes.length / safetensorsDTypes[dtype];
  const out = scratch ? new Uint16Array(scratch, 0, count) : new Uint16Array(count);
  if (dtype === 'BF16') return bfloat16BitsToFloat16Bits(as(Uint16Array, 2, bytes), out);
  // NUMERICS: F64 is rounded twice, to f32 and then to f16.
  return toFloat16Bits(toFloat32(dtype, bytes), out);
}

/**
 * The dtypes that weights are stored in, each with the least number that is infinite in it and its largest.
 */
const limits = {
  F32: { from: Number.POSITIVE_INFINITY, largest: '' },
  F16: { from: 65520, largest: 'f16 is 65504' },
  BF16: { from: (2 - 2 ** -8) * 2 ** 127, largest: 'bf16 is about 3.39e38' },
};
export type FloatDType = keyof typeof limits;

/**
 * Numbers of the tensor `name` in a dtype, F16 and BF16 as bits, rounded once to nearest even: what toFloat32
 * reads. Throws DataError, which names the tensor and the number, for a finite one that would be infinite.
 */
export function fromFloat32(
  name: string,
  dtype: FloatDType,
  values: Float32Array,
): Float32Array | Uint16Array {
  if (dtype === 'F32') return values;
  const { from, largest } = limits[dtype];
  const lost = values.find((x) => Math.abs(x) >= from && Number.isFinite(x));
  if (lost !== undefined) {
    throw new DataError(
      `tensor "${name}" would hold ${lost}, and the largest ${largest}; take a wider dtype`,
    );
  }
  return dtype === 'F16' ? toFloat16Bits(values) : toBfloat16Bits(values);
}
