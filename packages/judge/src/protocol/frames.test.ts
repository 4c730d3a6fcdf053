import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { frame, newFrameReader } from './frames.ts';

/** The frames that a reader finds in these chunks. */
function framesOf(chunks: readonly Uint8Array[], maxBytes = 2 ** 20): Buffer[] {
  const found: Buffer[] = [];
  const reader = newFrameReader(maxBytes, (payload) => found.push(payload));
  for (const chunk of chunks) reader.push(Buffer.from(chunk));
  return found;
}

/** Bytes cut at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 });

describe('a frame reader', () => {
  test('finds the same frames however the stream is cut', () => {
    fc.assert(
      fc.property(payloads, fc.array(fc.nat(), { maxLength: 40 }), (sent, places) => {
        const stream = Buffer.concat(sent.map(frame));
        const expected = sent.map((payload) => Buffer.from(payload));
        expect(framesOf(cut(stream, places))).toEqual(expected);
        expect(framesOf([...stream].map((byte) => Buffer.of(byte)))).toEqual(expected);
        expect(framesOf([stream])).toEqual(expected);
      }),
    );
  });
  test('gives a frame as soon as it is whole, and not before', () => {
    const bytes = frame('whole');
    expect(framesOf([bytes.subarray(0, -1)])).toEqual([]);
    expect(framesOf([bytes]).map(String)).toEqual(['whole']);
    expect(framesOf([frame('')])).toEqual([Buffer.alloc(0)]);
  });
  test('throws RangeError for a frame that is too long, as soon as its length is known', () => {
    fc.assert(
      fc.property(fc.nat({ max: 100 }), fc.integer({ min: 1, max: 2 ** 31 }), (limit, excess) => {
        const header = Buffer.alloc(4);
        header.writeUInt32BE(limit + excess);
        expect(() => framesOf([frame(Buffer.alloc(limit)), header], limit)).toThrow(RangeError);
        expect(framesOf([frame(Buffer.alloc(limit)), header.subarray(0, 3)], limit)).toHaveLength(1);
      }),
    );
    expect(() => framesOf([Buffer.alloc(4, 255)])).toThrow(
      'a frame of 4294967295 bytes, 1048576 are allowed',
    );
  });
  test('gives frames that later chunks do not change', () => {
    const chunk = Buffer.concat([frame('first'), frame('second')]);
    const found: Buffer[] = [];
    const reader = newFrameReader(100, (payload) => found.push(payload));
    reader.push(chunk);
    chunk.fill(0);
    reader.push(frame('third'));
    expect(found.map(String)).toEqual(['first', 'second', 'third']);
  });

  const size = 2 ** 20;
  test('holds one frame, not the chunks that it came in', () => {
    const before = process.memoryUsage();
    const reader = newFrameReader(size, () => {});
    const header = Buffer.alloc(4);
    header.writeUInt32BE(size);
    reader.push(header);
    for (let i = 0; i < size - 1; i++) reader.push(Buffer.of(1));
    const now = process.memoryUsage();
    const growth = now.heapUsed - before.heapUsed + now.arrayBuffers - before.arrayBuffers;
    // A reference to each chunk would be over 100 MiB; the heap's garbage varies.
    expect(growth).toBeLessThan(60 * 2 ** 20);
    reader.push(Buffer.of(1));
  });
  test('takes time in proportion to the bytes, however small the chunks', () => {
    const seconds = (bytes: number) => {
      const stream = frame(Buffer.alloc(bytes));
      const chunks = cut(
        stream,
        Array.from({ length: bytes / 8 }, (_, i) => 8 * i),
      );
      const started = performance.now();
      expect(framesOf(chunks)).toHaveLength(1);
      return (performance.now() - started) / 1000;
    };
    // Quadratic work would copy 34 GB here.
    expect(seconds(size)).toBeLessThan(3);
  });
});

test('a frame is its length, big endian, and its bytes; text is UTF-8', () => {
  expect([...frame(Buffer.of(7, 8))]).toEqual([0, 0, 0, 2, 7, 8]);
  expect([...frame('é')]).toEqual([0, 0, 0, 2, 0xc3, 0xa9]);
  expect(frame(Buffer.alloc(70_000)).readUInt32BE()).toBe(70_000);
});
