import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { DataError } from './errors.ts';

/**
 * Bytes of the longest row of a data file, and of the longest file that is read whole: 32 MiB. The longest
 * honest ones, test cases of APPS, are some MiB; a row in work takes up to five times its length.
 */
export const maxTextBytes = 1 << 25;

/** `maxTextBytes` in words, for messages. */
export const maxTextSize = `${maxTextBytes / 2 ** 20} MiB`;

/**
 * Opens a file, to read it unless the flags say otherwise. Throws DataError for a folder, a pipe and a
 * device, and what openSync throws.
 */
export function openRegular(path: string, flags: number = constants.O_RDONLY): number {
  // Else opening a pipe would wait for who writes to it.
  const file = openSync(path, flags | constants.O_NONBLOCK, 0o666);
  const stats = fstatSync(file);
  if (stats.isFile()) return file;
  closeSync(file);
  throw new DataError(
    `${path}: is ${stats.isDirectory() ? 'a folder' : 'a pipe or a device'}, and must be a file`,
  );
}

/** The bytes of a file. Throws what openRegular throws, and DataError for more than `most` bytes. */
export function readWhole(path: string, most: number = maxTextBytes): Buffer {
  const file = openRegular(path);
  try {
    const { size } = fstatSync(file);
    if (size > most) throw new DataError(`${path}: has ${size} bytes; at most ${most} are read`);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Opens a file of one's own in a folder of results, to read and to append, and makes it where there is
 * none. Throws DataError for a link, symbolic or hard, through which a file elsewhere would be written,
 * and what openRegular throws.
 */
export function openOwnFile(path: string): number {
  const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  let file: number;
  try {
    file = openRegular(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW);
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code === 'ELOOP' ? linkError(path) : cause;
  }
  if (fstatSync(file).nlink === 1) return file;
  closeSync(file);
  throw linkError(path);
}

/** Makes a folder of one's own in a folder of results, unless it is there. Throws DataError for a link. */
export function makeOwnFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    const stats = lstatSync(path);
    if (stats.isSymbolicLink()) throw linkError(path);
    if (!stats.isDirectory()) throw new DataError(`${path}: must be a folder`);
  }
}

function linkError(path: string): DataError {
  return new DataError(
    `${path}: is a link, and nothing is written through one; remove it, or take another folder`,
  );
}
