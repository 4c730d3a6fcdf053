import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ConfigError, DataError } from '@flex/base';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { DTypeError, ShapeError } from '../errors.ts';
import { fromFloat32, openSafetensors, toFloat16, toFloat32 } from './safetensors.ts';
import { type SafetensorsDType, safetensorsDTypes, tensorBytes } from './safetensors-format.ts';
import { type TensorToWrite, writeSafetensors } from './safetensors-writer.ts';

const dir = mkdtempSync(join(tmpdir(), 'flex-safetensors-'));
const path = join(dir, 'some.safetensors');
afterAll(() => rmSync(dir, { recursive: true }));

/** A file with this header and so many bytes of data. */
function writeRaw(header: string | Uint8Array, dataBytes = 0, length?: bigint): void {
  const json = Buffer.from(header);
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(length ?? BigInt(json.length));
  writeFileSync(path, Buffer.concat([start, json, Buffer.alloc(dataBytes)]));
}

/** The message with which the file is refused; it must be a DataError of one line that names the file. */
function refusal(): string {
  try {
    openSafetensors(path).close();
  } catch (error) {
    expect(error).toBeInstanceOf(DataError);
    const { message } = error as DataError;
    expect(message.startsWith(`${path}: `)).toBe(true);
    expect(message).not.toContain('\n');
    return message.slice(path.length + 2);
  }
  throw new Error('the file was accepted');
}

function refusalOf(header: unknown, dataBytes = 0): string {
  writeRaw(JSON.stringify(header), dataBytes);
  return refusal();
}

const f32 = (shape: unknown, begin: unknown, end: unknown) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

const anyTensor: fc.Arbitrary<TensorToWrite> = fc
  .record({
    dtype: fc.constantFrom(...(Object.keys(safetensorsDTypes) as SafetensorsDType[])),
    shape: fc.array(fc.nat(4), { maxLength: 3 }),
  })
  .chain(({ dtype, shape }) => {
    const length = tensorBytes(dtype, shape);
    return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ dtype, shape, data }));
  });
const names = fc.string({ unit: 'grapheme' }).filter((name) => name !== '__metadata__');
const anyTensors = fc.array(fc.tuple(names, anyTensor), { maxLength: 8 }).map((list) => new Map(list));
const anyMetadata = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }));

describe('reading and writing', () => {
  it('gives back every dtype, shape, byte and name', () => {
    const roundTrip = fc.property(anyTensors, anyMetadata, fc.nat(5), (tensors, metadata, elements) => {
      writeSafetensors(path, tensors, metadata);
      expect(readFileSync(path).readUInt32LE() % 8).toBe(0);
      const file = openSafetensors(path);
      expect({ ...file.metadata }).toEqual({ ...metadata });
      expect(new Set(file.tensors.keys())).toEqual(new Set(tensors.keys()));
      for (const [name, { dtype, shape, data }] of tensors) {
        expect(file.tensors.get(name)).toMatchObject({ dtype, shape, bytes: tensorBytes(dtype, shape) });
        expect(file.read(name)).toEqual(data);
        const chunks = [...file.readChunks(name, (elements + 1) * safetensorsDTypes[dtype])];
        expect(Buffer.concat(chunks)).toEqual(Buffer.from(data as Uint8Array));
      }
      file.close();
      const whole = readFileSync(path);
      const inPieces = [...tensors].map(([name, tensor]): [string, TensorToWrite] => {
        const data = tensor.data as Uint8Array;
        return [name, { ...tensor, data: () => [data.subarray(0, elements), data.subarray(elements)] }];
      });
      writeSafetensors(path, new Map(inPieces), metadata);
      expect(readFileSync(path).equals(whole)).toBe(true);
    });
    fc.assert(roundTrip, { numRuns: 200 });
  });

  it('lays the file out as the Python library does', () => {
    const tensors = new Map<string, TensorToWrite>([
      ['b.flags', { dtype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) }],
      ['half', { dtype: 'F16', shape: [1], data: Uint16Array.of(0x3c00) }],
      ['\u{1F600}', { dtype: 'F32', shape: [], data: Float32Array.of(1) }],
      ['\uFFFD', { dtype: 'F32', shape: [1, 1], data: () => Float32Array.of(2) }],
      ['brain', { dtype: 'BF16', shape: [2], data: Uint16Array.of(1, 2) }],
      ['steps', { dtype: 'I64', shape: [1], data: BigInt64Array.of(-1n) }],
    ]);
    writeSafetensors(path, tensors);
    const header =
      '{"__metadata__":{"format":"pt"},"steps":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},' +
      '"\uFFFD":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]},' +
      '"\u{1F600}":{"dtype":"F32","shape":[],"data_offsets":[12,16]},' +
      '"brain":{"dtype":"BF16","shape":[2],"data_offsets":[16,20]},' +
      '"half":{"dtype":"F16","shape":[1],"data_offsets":[20,22]},' +
      '"b.flags":{"dtype":"BOOL","shape":[3],"data_offsets":[22,25]}}';
    const file = readFileSync(path);
    const length = Number(file.readBigUInt64LE());
    expect(length % 8).toBe(0);
    expect(file.toString('utf8', 8, 8 + length)).toBe(
      header.padEnd(header.length + length - Buffer.byteLength(header)),
    );
    const data = 'ffffffffffffffff000000400000803f01000200003c010001';
    expect(file.toString('hex', 8 + length)).toBe(data);
  });

  it('a tensor that cannot be written leaves the old file and nothing beside it', () => {
    writeSafetensors(path, new Map([['a', { dtype: 'U8', shape: [1], data: Uint8Array.of(7) }]]));
    const before = readdirSync(dir);
    const good: TensorToWrite = { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) };
    const write = (bad: TensorToWrite) => () =>
      writeSafetensors(
        path,
        new Map([
          ['good', good],
          ['bad', bad],
        ]),
      );
    expect(write({ ...good, data: Float32Array.of(1) })).toThrow(
      new ShapeError('tensor "bad": F32[2] takes 8 bytes, got 4'),
    );
    expect(write({ ...good, dtype: 'F16', data: Int16Array.of(1, 2) })).toThrow(
      new DTypeError('tensor "bad": F16 data must be a Uint16Array, got a Int16Array'),
    );
    const inPieces = () => [Float32Array.of(1), Float32Array.of(2, 3)];
    expect(write({ ...good, data: inPieces })).toThrow('tensor "bad": F32[2] takes 8 bytes, got 12');
    expect(write({ ...good, shape: [-1] })).toThrow(ShapeError);
    expect(write({ ...good, data: () => JSON.parse('no') })).toThrow(SyntaxError);
    expect(readdirSync(dir)).toEqual(before);
    const file = openSafetensors(path);
    expect(file.read('a')).toEqual(Uint8Array.of(7));
    file.close();
  });

  it('a folder that is not there is named', () => {
    const missing = join(dir, 'missing', 'x.safetensors');
    expect(() => writeSafetensors(missing, new Map())).toThrow(`${missing}: cannot be written: ENOENT`);
    expect(() => openSafetensors(missing)).toThrow(`${missing}: cannot be opened: ENOENT`);
    expect(() => openSafetensors(dir)).toThrow(`${dir}: is not a file; give a .safetensors file`);
  });

  it('names a tensor that is not there, a bad chunk size, and a closed file', () => {
    writeSafetensors(path, new Map([['a', { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]]));
    const file = openSafetensors(path);
    expect(() => file.read('b')).toThrow(new DataError(`${path}: there is no tensor "b" among its 1`));
    for (const size of [0, -4, 6, Number.NaN]) {
      expect(() => [...file.readChunks('a', size)], `${size}`).toThrow(ConfigError);
    }
    const chunks = file.readChunks('a', 4);
    expect(chunks.next().value).toEqual(new Uint8Array(Float32Array.of(1).buffer));
    file.close();
    file.close();
    const closed = new DataError(`${path}: cannot read tensor "a": the file was closed`);
    expect(() => file.read('a')).toThrow(closed);
    expect(() => chunks.next()).toThrow(closed);
  });

  describe('a stream', () => {
    const stored = (names: readonly string[], elements: number) =>
      new Map(
        names.map((name, i): [string, TensorToWrite] => [
          name,
          {
            dtype: 'U8',
            shape: [elements],
            data: Uint8Array.from({ length: elements }, (_, j) => 50 * i + j),
          },
        ]),
      );

    it('gives the bytes of tensors in the order asked for, empty ones without a piece', async () => {
      const sizes = fc.record({ elements: fc.nat(20), chunkBytes: fc.integer({ min: 1, max: 24 }) });
      await fc.assert(
        fc.asyncProperty(sizes, async ({ elements, chunkBytes }) => {
          writeSafetensors(path, stored(['a', 'b', 'c'], elements));
          const file = openSafetensors(path);
          const names = ['c', 'a', 'b', 'a'];
          const got: (string | number[])[][] = [];
          for await (const { name, bytes } of file.stream(names, chunkBytes)) got.push([name, [...bytes]]);
          const want = names.flatMap((name) =>
            [...file.readChunks(name, chunkBytes)].map((bytes) => [name, [...bytes]]),
          );
          expect(got).toEqual(want);
          file.close();
        }),
        { numRuns: 20 },
      );
    });

    it('reads the next piece, and no other, while one is in use', async () => {
      writeSafetensors(path, stored(['a'], 6));
      const file = openSafetensors(path);
      const bytes = readFileSync(path);
      const pieces = file.stream(['a'], 2);
      expect([...(await pieces.next()).value!.bytes]).toEqual([0, 1]);
      await setTimeout(100);
      writeFileSync(path, bytes.fill(9, bytes.length - 6));
      expect([...(await pieces.next()).value!.bytes]).toEqual([2, 3]);
      expect([...(await pieces.next()).value!.bytes]).toEqual([9, 9]);
      file.close();
    });

    it('may be left early, and tells of what is not there, of a closed file and of one cut off', async () => {
      writeSafetensors(path, stored(['a'], 6));
      const file = openSafetensors(path);
      for await (const { bytes } of file.stream(['a'], 2)) {
        expect([...bytes]).toEqual([0, 1]);
        break;
      }
      const all = async (names: string[], chunkBytes = 2) => {
        for await (const _ of file.stream(names, chunkBytes));
      };
      await expect(all(['b'])).rejects.toThrow(`${path}: there is no tensor "b" among its 1`);
      await expect(all(['a'], 0)).rejects.toThrow(ConfigError);
      const pieces = file.stream(['a'], 2);
      await pieces.next();
      writeFileSync(path, readFileSync(path).subarray(0, -5));
      await expect(pieces.next().then(() => pieces.next())).rejects.toThrow(/was cut off while open/);
      file.close();
      await expect(all(['a'])).rejects.toThrow(`${path}: cannot read tensor "a": the file was closed`);
    });
  });

  it('says so when the file is cut off while open', () => {
    writeSafetensors(path, new Map([['a', { dtype: 'U8', shape: [9], data: new Uint8Array(9) }]]));
    const file = openSafetensors(path);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, -1));
    expect(() => file.read('a')).toThrow(/was cut off while open/);
    file.close();
  });
});

describe('refusing', () => {
  it('a file cut off at any byte, and one with a byte too many', () => {
    const tensors = new Map<string, TensorToWrite>([
      ['a', { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
      ['b', { dtype: 'I8', shape: [3], data: Int8Array.of(1, 2, 3) }],
    ]);
    writeSafetensors(path, tensors);
    const whole = readFileSync(path);
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      expect(refusal()).toMatch(
        length < 8 ? /bytes; a safetensors file has 8 or more/ : /the file is cut off/,
      );
    }
    writeFileSync(path, Buffer.concat([whole, Buffer.alloc(1)]));
    expect(refusal()).toMatch(/^1 bytes follow tensor "b"; the file must end at byte \d+/);
  });

  it('never anything but a DataError, whatever single byte is changed', () => {
    writeSafetensors(path, new Map([['a', { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]]));
    const whole = readFileSync(path);
    const dataStart = whole.length - 8;
    const changed = fc.property(fc.nat(dataStart - 1), fc.integer({ min: 0, max: 255 }), (at, byte) => {
      const copy = Buffer.from(whole);
      copy[at] = byte;
      writeFileSync(path, copy);
      try {
        const file = openSafetensors(path);
        for (const name of file.tensors.keys()) expect(file.read(name)).toHaveLength(8);
        file.close();
      } catch (error) {
        expect(error).toBeInstanceOf(DataError);
      }
    });
    fc.assert(changed, { numRuns: 1000 });
  });

  it('a header that is too long', () => {
    writeRaw('{}', 0, 100_000_001n);
    expect(refusal()).toBe("the header's length is given as 100000001 bytes; at most 100000000 are allowed");
    writeRaw('{}', 0, 2n ** 64n - 1n);
    expect(refusal()).toContain('at most 100000000 are allowed');
    writeRaw('{}', 0, 3n);
    expect(refusal()).toBe('the file is cut off: its header has 3 bytes, and 2 follow its length');
  });

  it('a header that is no JSON object', () => {
    for (const text of ['', '{', '{"a":}', '{} x', '\uFEFF{}', Uint8Array.of(0x7b, 0x22, 0xff, 0x22)]) {
      writeRaw(text);
      expect(refusal()).toMatch(/^the header is not JSON in UTF-8 \(.+\); is this a safetensors file\?$/);
    }
    for (const text of ['[]', 'null', '3', '"a"', ' {}']) {
      writeRaw(text);
      expect(refusal()).toBe('the header is not a JSON object, which starts with {');
    }
  });

  it('a header nested deeply; texts of megabytes in it are read', () => {
    writeRaw('{"a":'.repeat(200_000));
    expect(refusal()).toContain('is nested more than 256 lists and objects deep');
    writeRaw(`{"__metadata__":{"a":"${'\\n'.repeat(5_000_000)}"}}`);
    const file = openSafetensors(path);
    expect(file.metadata.a).toHaveLength(5_000_000);
    file.close();
  });

  it('a key that comes twice, however it is spelt', () => {
    const a = JSON.stringify(f32([1], 0, 4));
    writeRaw(`{"a":${a}, "\\u0061" : ${a}}`, 4);
    expect(refusal()).toBe('the header has the key "a" twice; each may come once');
    writeRaw('{"a":{"dtype":"F32","shape":[1],"dtype":"I32","data_offsets":[0,4]}}', 4);
    expect(refusal()).toBe('the header has the key "dtype" twice; each may come once');
    writeRaw(
      `{"__metadata__":{"a":"{\\"a\\":1","b\\\\":"a"},"a":${a},"b":${JSON.stringify(f32([1], 4, 8))}}`,
      8,
    );
    openSafetensors(path).close();
  });

  it('an entry that is no tensor', () => {
    expect(refusalOf({ a: 3 })).toBe('tensor "a" is 3; it must be {dtype, shape, data_offsets}');
    writeRaw('{"__proto__":[]}');
    expect(refusal()).toContain('tensor "__proto__" is []');
    expect(refusalOf({ a: { ...f32([1], 0, 4), dtype: 'F8_E4M3' } }, 4)).toBe(
      'tensor "a" has dtype "F8_E4M3"; known are F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL',
    );
    expect(refusalOf({ a: { ...f32([1], 0, 4), dtype: 'toString' } }, 4)).toContain('has dtype "toString"');
    expect(refusalOf({ a: { shape: [1], data_offsets: [0, 4] } }, 4)).toContain('has dtype missing');
    for (const shape of [[-1], [1.5], ['1'], 1, null, [2 ** 53]]) {
      expect(refusalOf({ a: f32(shape, 0, 4) }, 4)).toBe(
        `tensor "a" has shape ${JSON.stringify(shape)}; it must be a list of whole numbers ≥ 0`,
      );
    }
  });

  it('offsets that are none, or that do not span the shape', () => {
    const offsets = 'they must be [begin, end], 0 ≤ begin ≤ end';
    expect(refusalOf({ a: f32([1], 4, 0) }, 4)).toBe(`tensor "a" has data_offsets [4,0]; ${offsets}`);
    expect(refusalOf({ a: f32([1], -4, 0) }, 4)).toBe(`tensor "a" has data_offsets [-4,0]; ${offsets}`);
    expect(refusalOf({ a: f32([1], 0, 4.5) }, 4)).toContain(offsets);
    expect(refusalOf({ a: { dtype: 'F32', shape: [1], data_offsets: [0, 4, 8] } }, 4)).toContain(offsets);
    expect(refusalOf({ a: f32([2, 3], 0, 20) }, 20)).toBe(
      'tensor "a" is F32[2,3], which takes 24 bytes; its data_offsets span 20',
    );
    const huge = Array.from({ length: 40 }, () => 2 ** 52);
    expect(refusalOf({ a: f32(huge, 0, 0) })).toContain('which takes too many bytes; its');
    expect(refusalOf({ a: f32([...huge, 0], 0, 0) })).toContain('which takes too many bytes; its');
  });

  it('tensors that overlap, leave holes, or lie outside the file', () => {
    expect(refusalOf({ a: f32([2], 0, 8), b: f32([1], 4, 8) }, 8)).toBe(
      'tensor "b" overlaps tensor "a": it starts at byte 4 of the data, must start at 8',
    );
    expect(refusalOf({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12)).toBe(
      'tensor "b" leaves a hole after tensor "a": it starts at byte 8 of the data, must start at 4',
    );
    expect(refusalOf({ a: f32([1], 4, 8) }, 8)).toBe(
      'tensor "a" leaves a hole after the header: it starts at byte 4 of the data, must start at 0',
    );
    expect(refusalOf({ a: f32([1], 0, 4), b: f32([1], 4, 8) }, 7)).toMatch(
      /^the file is cut off: tensor "b" ends at byte \d+, the file has \d+ bytes$/,
    );
    expect(refusalOf({}, 1)).toMatch(/^1 bytes follow the header; the file must end at byte 10, it has 11$/);
  });

  it('metadata that are no strings', () => {
    expect(refusalOf({ __metadata__: { step: 3 } })).toBe(
      '"__metadata__" has 3 under "step"; it must be a string',
    );
    expect(refusalOf({ __metadata__: [] })).toBe('"__metadata__" is not an object of strings');
  });

  it('nothing for the order of its keys, for empty tensors, or for a name of a million characters', () => {
    const long = 'x'.repeat(1_000_000);
    writeRaw(JSON.stringify({ z: f32([1], 4, 8), empty: f32([0, 3], 4, 4), [long]: f32([1], 0, 4) }), 8);
    const file = openSafetensors(path);
    expect([...file.tensors.keys()]).toEqual([long, 'empty', 'z']);
    expect(file.read('empty')).toHaveLength(0);
    expect([...file.readChunks('empty', 4)]).toEqual([]);
    file.close();
  });
});

describe('weights', () => {
  const bytes = (array: ArrayLike<number> & { buffer: ArrayBufferLike }) => new Uint8Array(array.buffer);

  it('come in f32 and in f16 from every float dtype', () => {
    const values = [1, -0.5, 65504, 0];
    const sources: [SafetensorsDType, Uint8Array][] = [
      ['F64', bytes(Float64Array.from(values))],
      ['F32', bytes(Float32Array.from(values))],
      ['F16', bytes(Uint16Array.of(0x3c00, 0xb800, 0x7bff, 0))],
    ];
    for (const [dtype, source] of sources) {
      expect([...toFloat32(dtype, source)]).toEqual(values);
      expect([...toFloat16(dtype, source)]).toEqual([0x3c00, 0xb800, 0x7bff, 0]);
    }
    const brain = bytes(Uint16Array.of(0x3f80, 0xbf00, 0x4780));
    expect([...toFloat32('BF16', brain)]).toEqual([1, -0.5, 65536]);
    expect([...toFloat16('BF16', brain)]).toEqual([0x3c00, 0xb800, 0x7c00]);
  });

  it('are stored as every float dtype, rounded to nearest even, or refused by their tensor', () => {
    const values = Float32Array.of(1, -0.5, 1 + 2 ** -11, 1 + 3 * 2 ** -11, Number.POSITIVE_INFINITY);
    expect(fromFloat32('w', 'F32', values)).toBe(values);
    expect([...fromFloat32('w', 'F16', values)]).toEqual([0x3c00, 0xb800, 0x3c00, 0x3c02, 0x7c00]);
    expect([...fromFloat32('w', 'BF16', values)]).toEqual([0x3f80, 0xbf00, 0x3f80, 0x3f80, 0x7f80]);
    expect([...fromFloat32('w', 'F16', Float32Array.of(65519.99))]).toEqual([0x7bff]);
    const tooLarge = 'tensor "w" would hold 65520, and the largest f16 is 65504; take a wider dtype';
    expect(() => fromFloat32('w', 'F16', Float32Array.of(65520))).toThrow(new DataError(tooLarge));
    const top = new Float32Array(Uint32Array.of(0x7f7f7fff, 0x7f7f8000).buffer);
    expect([...fromFloat32('w', 'BF16', top.subarray(0, 1))]).toEqual([0x7f7f]);
    expect(() => fromFloat32('w', 'BF16', top.subarray(1))).toThrow('the largest bf16');
  });

  it('come from bytes that are not aligned', () => {
    const shifted = new Uint8Array(9);
    shifted.set(bytes(Float32Array.of(1, -2)), 1);
    expect([...toFloat32('F32', shifted.subarray(1))]).toEqual([1, -2]);
    expect([...toFloat16('F16', shifted.subarray(1))]).toEqual([0, 0x3f80, 0, 0xc000]);
  });

  it('are refused in whole numbers', () => {
    const message = 'weights must be F32, F16, BF16 or F64, got I32';
    expect(() => toFloat32('I32', new Uint8Array(4))).toThrow(new DataError(message));
    expect(() => toFloat16('I32', new Uint8Array(4))).toThrow(new DataError(message));
  });
});
