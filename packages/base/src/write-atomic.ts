import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DataError } from './errors.ts';

const maxWriteBytes = 1 << 30;

/**
 * Writes a file so that its path holds either all of the new content or what it held before, even if the
 * process or the machine stops: into a file beside it, flushed to the disk, which then takes its name.
 * Content in pieces is taken a piece at a time, so that a generator need not hold all of a large file.
 *
 * Throws DataError when the disk refuses, and what making a piece throws.
 */
export function writeAtomic(
  path: string,
  content: string | Uint8Array | Iterable<string | Uint8Array>,
): void {
  const pieces = typeof content === 'string' || content instanceof Uint8Array ? [content] : content;
  const beside = join(dirname(path), `.${basename(path)}.${process.pid}.partial`);
  try {
    // What a run that stopped has left there goes; a link put in its place is not followed.
    rmSync(beside, { force: true });
    const file = onDisk(path, () => openSync(beside, 'wx'));
    try {
      for (const piece of pieces) onDisk(path, () => writeAll(file, piece));
      onDisk(path, () => fsyncSync(file));
    } finally {
      closeSync(file);
    }
    onDisk(path, () => renameSync(beside, path));
  } finally {
    rmSync(beside, { force: true });
  }
  onDisk(path, () => syncDirectory(dirname(path)));
}

/** Writes all of a piece to an open file, of which one call may write only some. */
export function writeAll(file: number, piece: string | Uint8Array): void {
  const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file, bytes, done, Math.min(bytes.length - done, maxWriteBytes));
  }
}

/** Lets the names in a directory outlive a power cut. */
export function syncDirectory(directory: string): void {
  // Windows does so by itself.
  if (process.platform === 'win32') return;
  const file = openSync(directory, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** What the action gives. Throws DataError, which names the path, where the disk refuses. */
export function onDisk<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw new DataError(`${path}: cannot be written: ${(cause as Error).message}`, { cause });
  }
}

/** Removes what writers that were killed left half-written in a folder: all that is named `.….partial`. */
export function removePartial(folder: string): void {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  for (const name of names.filter((name) => /^\..*\.partial$/.test(name))) {
    onDisk(folder, () => rmSync(join(folder, name), { recursive: true, force: true }));
  }
}
