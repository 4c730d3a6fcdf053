import { type FileHandle, open } from 'node:fs/promises';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ConfigError, DataError, parseJson } from '@flex/base';
import { newJsonSplitter } from './json-splitter.ts';

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
 * and line at what is not UTF-8, JSON or whole gzip. Blank lines are passed over.
 */
export async function* readJsonRows(path: string): AsyncGenerator<JsonRow> {
  const handle = await openFile(path);
  try {
    const chunks = await readChunks(handle);
    for await (const { bytes, line } of split(chunks, path)) {
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
    handle = await open(path);
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

async function readChunks(handle: FileHandle): Promise<Readable> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
  const bytes = handle.createReadStream({ start: 0, autoClose: false, highWaterMark: 1 << 18 });
  if (bytesRead < 2 || buffer[0] !== 0x1f || buffer[1] !== 0x8b) return bytes;
  // What fails here is thrown by the reader of the returned stream.
  return pipeline(bytes, createGunzip({ chunkSize: 1 << 18 }), () => {});
}

interface Piece {
  readonly bytes: Buffer;
  readonly line: number;
}

/** Lines, or the elements of a list where the first character that is not blank opens one. */
async function* split(chunks: AsyncIterable<Buffer>, path: string): AsyncGenerator<Piece> {
  const iterator = chunks[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  let ended = false;
  while (!ended && !/[^\s\uFEFF]/.test(head.toString())) {
    const { value, done } = await iterator.next();
    ended = done === true;
    if (!ended) head = Buffer.concat([head, value]);
  }
  const rest = { [Symbol.asyncIterator]: () => iterator };
  const isList = /^[\s\uFEFF]*\[/.test(head.toString());
  yield* isList ? splitList(head, rest, path) : splitLines(head, rest);
}

async function* splitLines(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Piece> {
  let held: Buffer[] = [];
  let line = 1;
  const take = function* (chunk: Buffer): Generator<Piece> {
    let from = 0;
    // JSON text may hold line separators of Unicode, so that only \n ends a line.
    for (let to = chunk.indexOf(10); to >= 0; to = chunk.indexOf(10, from)) {
      held.push(chunk.subarray(from, to));
      const bytes = Buffer.concat(held);
      held = [];
      from = to + 1;
      if (!isBlank(bytes)) yield { bytes, line };
      line++;
    }
    held.push(chunk.subarray(from));
  };
  yield* take(head);
  for await (const chunk of rest) yield* take(chunk);
  const bytes = Buffer.concat(held);
  if (!isBlank(bytes)) yield { bytes, line };
}

async function* splitList(head: Buffer, rest: AsyncIterable<Buffer>, path: string): AsyncGenerator<Piece> {
  const splitter = newJsonSplitter();
  yield* splitter.push(head.subarray(head.indexOf(91)));
  for await (const chunk of rest) yield* splitter.push(chunk);
  if (!splitter.closed()) {
    throw new DataError(`${path}: is not one whole JSON list; write a row a line, or close the list with ]`);
  }
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 32 || byte === 9 || byte === 13);
}
