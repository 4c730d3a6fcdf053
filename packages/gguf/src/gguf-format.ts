import { DataError } from '@flex/base';

/** Types of a GGUF file's metadata, by their numbers in it. */
const valueTypes = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

type Scalar = Exclude<keyof typeof valueTypes, 'array'>;

/** A value of the metadata: a number, a truth, a text, or many of one of these. */
export type GgufValue =
  | { readonly type: 'uint32' | 'int32' | 'float32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'array'; readonly of: 'int32' | 'float32'; readonly value: readonly number[] }
  | { readonly type: 'array'; readonly of: 'string'; readonly value: readonly string[] };

export type GgufMetadata = ReadonlyMap<string, GgufValue>;

export const uint32 = (value: number): GgufValue => ({ type: 'uint32', value });
export const float32 = (value: number): GgufValue => ({ type: 'float32', value });
export const bool = (value: boolean): GgufValue => ({ type: 'bool', value });
export const string = (value: string): GgufValue => ({ type: 'string', value });
export const strings = (value: readonly string[]): GgufValue => ({ type: 'array', of: 'string', value });
export const int32s = (value: readonly number[]): GgufValue => ({ type: 'array', of: 'int32', value });
export const float32s = (value: readonly number[]): GgufValue => ({ type: 'array', of: 'float32', value });

/**
 * How a tensor's numbers are stored: its number in a file, and the bytes of a block of so many numbers of a
 * row. Q8_0: 32 whole numbers from -127 to 127 and an f16 that they are multiplied by.
 */
export const ggufTypes = {
  F32: { id: 0, numbers: 1, bytes: 4 },
  F16: { id: 1, numbers: 1, bytes: 2 },
  BF16: { id: 30, numbers: 1, bytes: 2 },
  Q8_0: { id: 8, numbers: 32, bytes: 34 },
} as const;

export type GgufType = keyof typeof ggufTypes;

/** A tensor's place in a file. */
export interface GgufTensorInfo {
  readonly name: string;
  readonly type: GgufType;
  /** Row-major, as everywhere here; a file has it backwards. */
  readonly shape: readonly number[];
}

/** Tensors begin at multiples of this. */
export const alignment = 32;

export const padding = (bytes: number): number => (alignment - (bytes % alignment)) % alignment;

/** Bytes of a tensor's numbers. */
export function ggufBytes({ type, shape }: GgufTensorInfo): number {
  const { numbers, bytes } = ggufTypes[type];
  return (shape.reduce((product, n) => product * n, 1) / numbers) * bytes;
}

/**
 * What stands before the tensors in a GGUF file, version 3, little-endian, to the alignment. Format:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export function ggufHeader(metadata: GgufMetadata, tensors: readonly GgufTensorInfo[]): Buffer {
  const parts: Buffer[] = [Buffer.from('GGUF'), words(3), long(tensors.length), long(metadata.size)];
  for (const [key, value] of metadata) {
    parts.push(text(key), words(valueTypes[value.type]), ...encoded(key, value));
  }
  let offset = 0;
  for (const tensor of tensors) {
    const { name, type, shape } = tensor;
    parts.push(text(name), words(shape.length), ...[...shape].reverse().map(long));
    parts.push(words(ggufTypes[type].id), long(offset));
    const bytes = ggufBytes(tensor);
    offset += bytes + padding(bytes);
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([header, Buffer.alloc(padding(header.length))]);
}

function encoded(key: string, value: GgufValue): Buffer[] {
  if (value.type !== 'array') return [scalar(key, value.type, value.value)];
  const each = value.value.map((one) => scalar(key, value.of, one));
  return [words(valueTypes[value.of]), long(value.value.length), ...each];
}

function scalar(key: string, type: Scalar, value: number | boolean | string): Buffer {
  if (type === 'string') return text(String(value));
  if (type === 'bool') return Buffer.from([Number(value)]);
  const bytes = Buffer.alloc(4);
  if (type === 'float32') bytes.writeFloatLE(Number(value));
  else if (!Number.isInteger(value) || Number(value) >= 2 ** 32 || Number(value) < -(2 ** 31))
    throw new DataError(`gguf: "${key}" is ${value}, which is no ${type}`);
  else if (type === 'uint32') bytes.writeUInt32LE(Number(value));
  else bytes.writeInt32LE(Number(value));
  return bytes;
}

function words(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([long(bytes.length), bytes]);
}
