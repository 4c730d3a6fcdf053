import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ConfigError, DataError, maxTextBytes, maxTextSize, parseJson } from '@flex/base';
import { type JsonPart, newJsonSplitter } from './json-splitter.ts';
import { isBlank, newLineSplitter } from './line-splitter.ts';

/** One value of a file: a line of JSON Lines, or an element of one JSON list. */
export interface JsonRow {
  /** The path as it was given, and the line: `data/mbpp.jsonl:12`. */
  readonly where: string;
  /** The value's own JSON text. */
  readonly text: string;
  readonly value: unknown;
}

/**
 * The values of a file of JSON Lines, or of a file that is one JSON list, gzipped or not, whatever its name.
 * Only one value is held at a time. Throws ConfigError where there is no such file, and DataError with path
 * and line at what is not UTF-8, JSON or whole gzip, and at what is beyond the bounds: a row of more than
 * maxTextBytes, 16 MiB of blanks, gzip that grows to more than 64 MiB and 100 times its size. Blank lines are
 * passed over.
 */
export async function* readJsonRows(path: string): AsyncGenerator<JsonRow> {
  const handle = await openFile(path);
  try {
    for await (const { bytes, line } of split(await readChunks(handle), path)) {
      const where = `${path}:${line}`;
      const text = decode(bytes, where);
      yield { where, text, value: parseJson(text, where) };
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!code.startsWith('Z_')) throw error;
    throw new DataError(`${path}: is not whole gzip (${(error as Error).message}); fetch it again`);
  } finally {
    await handle.close();
  }
}

/** The text of UTF-8. Throws DataError, which names the place. */
export function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new DataError(`${where}: is not UTF-8: ${(error as Error).message}`);
  }
}

async function openFile(path: string): Promise<FileHandle> {
  if (/\.parquet$/i.test(path)) {
    throw new ConfigError(`${path}: Parquet is not built yet; write the rows as JSON Lines`);
  }
  let handle: FileHandle;
  try {
    // Else opening a pipe would wait for who writes to it.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new ConfigError(missing ? `${path}: no such file` : `${path}: ${(error as Error).message}`);
  }
  const stats = await handle.stat();
  if (stats.isFile()) return handle;
  await handle.close();
  throw new ConfigError(
    `${path}: is ${stats.isDirectory() ? 'a folder' : 'no file'}; name a file of JSON Lines`,
  );
}

/** The bytes of a file, and how many there may be. */
interface Content {
  readonly chunks: Readable;
  readonly mostBytes: number;
}

/**
 * JSON shrinks to a third or a twentieth in gzip, which could make a thousandth of a file that says
 * nothing.
 */
const maxGrowth = 100;
const anyGrowthBytes = 1 << 26;

async function readChunks(handle: FileHandle): Promise<Content> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
  const bytes = handle.createReadStream({ start: 0, autoClose: false, highWaterMark: 1 << 18 });
  if (bytesRead < 2 || buffer[0] !== 0x1f || buffer[1] !== 0x8b)
    return { chunks: bytes, mostBytes: Infinity };
  const mostBytes = Math.max(anyGrowthBytes, maxGrowth * (await handle.stat()).size);
  // What fails here is thrown by the reader of the returned stream.
  return { chunks: pipeline(bytes, createGunzip({ chunkSize: 1 << 18 }), () => {}), mostBytes };
}

const maxBlankBytes = 1 << 24;

/** Lines, or the elements of a list where the first character that is not blank opens one. */
async function* split({ chunks, mostBytes }: Content, path: string): AsyncGenerator<JsonPart> {
  const lines = newLineSplitter();
  let list: ReturnType<typeof newJsonSplitter> | undefined;
  let isBegun = false;
  let bytes = 0;
  let blanks = 0;
  for await (const whole of chunks as AsyncIterable<Buffer>) {
    const chunk = bytes === 0 ? withoutMark(whole) : whole;
    const ink = chunk.findIndex((byte) => !isBlank(byte));
    if (!isBegun && chunk[ink] === 91) {
      yield* lines.push(chunk.subarray(0, ink));
      list = newJsonSplitter(lines.line);
    }
    yield* list ? list.push(isBegun ? chunk : chunk.subarray(ink)) : lines.push(chunk);
    isBegun ||= ink >= 0;

    bytes += whole.length;
    blanks = ink < 0 ? blanks + chunk.length : 0;
    const { line, heldBytes } = list ?? lines;
    const excess =
      (heldBytes > maxTextBytes && `a row must not be longer than ${maxTextSize}`) ||
      (blanks > maxBlankBytes && `more than ${maxBlankBytes >> 20} MiB are blank`) ||
      (bytes > mostBytes &&
        `the gzipped file grows to more than ${mostBytes} bytes, ${maxGrowth} times its size; unpack it first`);
    if (excess) throw new DataError(`${path}:${line}: ${excess}`);
  }
  yield* lines.end();
  if (list?.closed() === false) {
    throw new DataError(`${path}: is not one whole JSON list; write a row a line, or close the list with ]`);
  }
}

/** The text without the byte order mark that it may begin with. */
function withoutMark(text: Buffer): Buffer {
  return text.subarray(text.subarray(0, 3).toString() === '\uFEFF' ? 3 : 0);
}
