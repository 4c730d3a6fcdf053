import { DataError, writeAtomic } from '@flex/base';
import { DTypeError, ShapeError } from '../errors.ts';
import { maxHeaderBytes, type SafetensorsDType, tensorBytes } from './safetensors-format.ts';

export type TensorData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/**
 * A tensor to write. F16 and BF16 are given as their bits in a Uint16Array; any dtype may be given as its
 * little-endian bytes in a Uint8Array. A function is called when its turn comes, and may give the data piece
 * by piece, so that neither all tensors of a large model nor all of one need be in memory at once.
 */
export interface TensorToWrite {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: TensorData | (() => TensorData | Iterable<TensorData>);
}

/** From the first in the file to the last: the order of the reference library, whose alignment only falls. */
const fileOrder: readonly SafetensorsDType[] = [
  'I64',
  'F64',
  'F32',
  'I32',
  'BF16',
  'F16',
  'I16',
  'I8',
  'U8',
  'BOOL',
];

const arrayOf: Record<SafetensorsDType, { new (length: number): TensorData }> = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

/**
 * Writes a safetensors file, byte for byte as the Python library would (where metadata has at most one key;
 * more are sorted). The file appears whole or not at all.
 *
 * Throws ShapeError or DTypeError for data that do not fit their dtype and shape, DataError when the disk
 * refuses.
 */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorToWrite>,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): void {
  const ordered = [...tensors].sort(
    ([a, { dtype: s }], [b, { dtype: t }]) =>
      fileOrder.indexOf(s) - fileOrder.indexOf(t) || compareUtf8(a, b),
  );
  writeAtomic(path, pieces(ordered, metadata));
}

function* pieces(
  ordered: readonly [string, TensorToWrite][],
  metadata: Readonly<Record<string, string>>,
): Generator<Uint8Array> {
  yield encodeHeader(ordered, metadata);
  for (const [name, tensor] of ordered) yield* bytesOf(name, tensor);
}

/** The 8 bytes of the length, then the JSON, padded with spaces so that the data start at a multiple of 8. */
function encodeHeader(
  ordered: readonly [string, TensorToWrite][],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const members: string[] = [];
  const keys = Object.keys(metadata).sort(compareUtf8);
  if (keys.length > 0) {
    const pairs = keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`);
    members.push(`"__metadata__":{${pairs.join(',')}}`);
  }
  let end = 0;
  for (const [name, { dtype, shape }] of ordered) {
    if (name === '__metadata__') throw new DataError('a tensor cannot be named __metadata__');
    if (!shape.every((axis) => Number.isSafeInteger(axis) && axis >= 0)) {
      throw new ShapeError(`tensor "${name}" must have whole sizes ≥ 0, got [${shape.join(', ')}]`);
    }
    const begin = end;
    end += tensorBytes(dtype, shape);
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  }
  const json = Buffer.from(`{${members.join(',')}}`);
  if (json.length > maxHeaderBytes) {
    throw new DataError(`the header would have ${json.length} bytes; at most ${maxHeaderBytes} are allowed`);
  }
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  header.set(json, 8);
  return header;
}

/** A tensor's bytes in pieces. */
function* bytesOf(name: string, { dtype, shape, data: given }: TensorToWrite): Generator<Uint8Array> {
  const data = typeof given === 'function' ? given() : given;
  let bytes = 0;
  for (const piece of ArrayBuffer.isView(data) ? [data as TensorData] : (data as Iterable<TensorData>)) {
    if (!(piece instanceof arrayOf[dtype]) && !(piece instanceof Uint8Array)) {
      const came = (piece as TensorData).constructor.name;
      throw new DTypeError(`tensor "${name}": ${dtype} data must be a ${arrayOf[dtype].name}, got a ${came}`);
    }
    bytes += piece.byteLength;
    yield new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
  }
  const needed = tensorBytes(dtype, shape);
  if (bytes !== needed) {
    const spec = `${dtype}[${shape.join(', ')}]`;
    throw new ShapeError(`tensor "${name}": ${spec} takes ${needed} bytes, got ${bytes}`);
  }
}

/** The order of the names' UTF-8 bytes, which for some characters is not that of JavaScript's strings. */
function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
