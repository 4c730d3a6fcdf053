import type { FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DataError, oneLine } from '@flex/base';
import { Decompress } from 'fzstd';

/** The bytes of a file, unpacked where it is gzip or zstd, and how many there may be. */
export interface Content {
  readonly chunks: AsyncIterable<Buffer>;
  readonly mostBytes: number;
}

/**
 * JSON shrinks to a third or a twentieth in gzip, which could make a thousandth of a file that says
 * nothing.
 */
export const maxGrowth = 100;
const anyGrowthBytes = 1 << 26;

/** How many bytes may come of a packed file of this size. */
export function mostUnpacked(bytes: number): number {
  return Math.max(anyGrowthBytes, maxGrowth * bytes);
}

const gzip = Buffer.of(0x1f, 0x8b);
const zstd = Buffer.of(0x28, 0xb5, 0x2f, 0xfd);
const readBytes = 1 << 18;

/** The content of an open file, whose first four bytes are `head`. Reading it throws DataError where it is torn. */
export async function openContent(handle: FileHandle, head: Buffer, path: string): Promise<Content> {
  const bytes = handle.createReadStream({ start: 0, autoClose: false, highWaterMark: readBytes });
  const mostBytes = mostUnpacked((await handle.stat()).size);
  if (head.subarray(0, 2).equals(gzip)) {
    // What fails here is thrown by the reader of the returned stream.
    const chunks = pipeline(bytes, createGunzip({ chunkSize: readBytes }), () => {});
    return { chunks: whole(chunks, path, 'gzip'), mostBytes };
  }
  if (head.equals(zstd)) return { chunks: whole(unpackZstd(bytes), path, 'zstd'), mostBytes };
  return { chunks: bytes, mostBytes: Infinity };
}

/** Bytes that are unpacked before what they give is looked at: 1,024 blocks of zstd, 128 MiB at the most. */
const zstdBytes = 1 << 12;

async function* unpackZstd(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let given: Uint8Array[] = [];
  const stream = new Decompress((part) => given.push(part));
  const take = (): Buffer => {
    const parts = given;
    given = [];
    return Buffer.concat(parts);
  };
  for await (const chunk of bytes) {
    for (let at = 0; at < chunk.length; at += zstdBytes) {
      stream.push(chunk.subarray(at, at + zstdBytes));
      yield take();
    }
  }
  stream.push(new Uint8Array(0), true);
  yield take();
}

async function* whole(chunks: AsyncIterable<Buffer>, path: string, format: string): AsyncGenerator<Buffer> {
  try {
    yield* chunks;
  } catch (cause) {
    const reason = oneLine((cause as Error).message);
    throw new DataError(`${path}: is not whole ${format} (${reason}); fetch it again`, { cause });
  }
}
