import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { ConfigError } from '@flex/base';
import { openContent } from './content.ts';
import { type JsonRow, jsonRows } from './json-rows.ts';
import { isParquet, parquetRows } from './parquet-rows.ts';

/**
 * The rows of a file of JSON Lines, of one JSON list, gzipped, packed by zstd or neither, or of Parquet: its
 * bytes tell, not its name. Throws ConfigError where there is no such file, and DataError with path and line
 * at what is damaged or beyond the bounds: see jsonRows and parquetRows; gzip and zstd may grow to 64 MiB or
 * 100 times their size.
 */
export async function* readFileRows(path: string): AsyncGenerator<JsonRow> {
  const handle = await openFile(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    const head = buffer.subarray(0, bytesRead);
    if (isParquet(head)) yield* parquetRows(path);
    else yield* jsonRows(await openContent(handle, head, path), path);
  } finally {
    await handle.close();
  }
}

async function openFile(path: string): Promise<FileHandle> {
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
    `${path}: is ${stats.isDirectory() ? 'a folder' : 'no file'}; name a file of JSON Lines or Parquet`,
  );
}
