import { readFileSync } from 'node:fs';
import { toFloat32 } from '@flex/tensor/safetensors';
import { type GgufType, ggufTypes } from '../gguf-format.ts';

/** What a GGUF file holds, all of it read. */
export interface GgufContent {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, GgufContentTensor>;
}

export interface GgufContentTensor {
  readonly type: GgufType;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
  readonly values: Float32Array;
}

/** Reads a GGUF file of version 3, for tests. Throws Error for a tensor that is not where it may be. */
export function readGguf(path: string): GgufContent {
  const file = readFileSync(path);
  let at = 0;
  const take = (bytes: number): Buffer => {
    at += bytes;
    return file.subarray(at - bytes, at);
  };
  const word = () => take(4).readUInt32LE();
  const long = () => Number(take(8).readBigUInt64LE());
  const text = () => take(long()).toString();
  const readers: Readonly<Record<number, () => unknown>> = {
    4: word,
    5: () => take(4).readInt32LE(),
    6: () => take(4).readFloatLE(),
    7: () => take(1)[0] === 1,
    8: text,
    9: () => {
      const read = readers[word()];
      return Array.from({ length: long() }, () => read());
    },
  };
  if (take(4).toString('latin1') !== 'GGUF') throw new Error(`${path}: is no GGUF file`);
  if (word() !== 3) throw new Error(`${path}: is of another version`);
  const [tensorCount, keys] = [long(), long()];
  const metadata = Object.fromEntries(Array.from({ length: keys }, () => [text(), readers[word()]()]));
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: word() }, long).reverse();
    const id = word();
    const [type] = Object.entries(ggufTypes).find(([, { id: known }]) => known === id)!;
    return { name, shape, type: type as GgufType, offset: long() };
  });
  const start = Math.ceil(at / 32) * 32;
  let end = start;
  const tensors = new Map<string, GgufContentTensor>();
  for (const { name, shape, type, offset } of infos) {
    if (start + offset !== end)
      throw new Error(`${path}: ${name} begins at ${offset}, not at ${end - start}`);
    const count = shape.reduce((product, n) => product * n, 1);
    const length = (count / ggufTypes[type].numbers) * ggufTypes[type].bytes;
    const bytes = file.subarray(end, end + length);
    tensors.set(name, { type, shape, bytes, values: valuesOf(type, bytes) });
    end = start + Math.ceil((end - start + length) / 32) * 32;
  }
  if (end !== file.length) throw new Error(`${path}: has ${file.length} bytes, not ${end}`);
  return { metadata, tensors };
}

/** Q8_0 by its definition: whole numbers times the f16 before them. */
function valuesOf(type: GgufType, bytes: Buffer): Float32Array {
  const own = new Uint8Array(bytes);
  if (type !== 'Q8_0') return toFloat32(type, own);
  return Float32Array.from({ length: (own.length / 34) * 32 }, (_, i) => {
    const block = Math.floor(i / 32) * 34;
    const [scale] = toFloat32('F16', own.slice(block, block + 2));
    return scale * bytes.readInt8(block + 2 + (i % 32));
  });
}
