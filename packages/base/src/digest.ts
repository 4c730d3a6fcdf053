import { createHash } from 'node:crypto';
import { closeSync, readdirSync, readSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalJson } from './canonical-json.ts';
import { DataError } from './errors.ts';
import { openRegular } from './files.ts';

/** A file as a manifest records it. */
export interface FileDigest {
  readonly path: string;
  readonly bytes: number;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
}

const pieceBytes = 1 << 20;

/** The SHA-256 of a file, read a MiB at a time, whatever its size. Throws if it cannot be read. */
export function digestFile(path: string): FileDigest {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(pieceBytes);
  const file = openRegular(path);
  let bytes = 0;
  try {
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) {
      hash.update(piece.subarray(0, read));
      bytes += read;
    }
  } finally {
    closeSync(file);
  }
  return { path, bytes, sha256: hash.digest('hex') };
}

/**
 * The digests of a file, or of the files in a folder and the folders in it, by name; `accepts` may choose
 * among these. A folder that links lead to once more counts once. Throws DataError for what is not there
 * or is neither, and if it cannot be read.
 */
export function digestAll(path: string, accepts: (file: string) => boolean = () => true): FileDigest[] {
  return filesOf(path, accepts).map(digestFile);
}

/** The files that `digestAll` digests, in its order. Throws as it does. */
export function filesOf(
  path: string,
  accepts: (file: string) => boolean,
  seen: Set<string> = new Set(),
): string[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new DataError(`${path}: no such file or folder`);
  if (stats.isFile()) return [path];
  if (!stats.isDirectory()) throw new DataError(`${path}: is neither a file nor a folder`);
  const folder = realpathSync(path);
  if (seen.has(folder)) return [];
  seen.add(folder);
  return readdirSync(path, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const inner = join(path, entry.name);
      const isFolder = statSync(inner, { throwIfNoEntry: false })?.isDirectory();
      return isFolder || accepts(inner) ? filesOf(inner, accepts, seen) : [];
    });
}

/** SHA-256 of a value's canonical JSON: 64 hexadecimal digits. Throws ConfigError for what is no JSON. */
export function digestJson(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value, 'value')).digest('hex');
}

/**
 * SHA-256 of the canonical JSON of rows, one a line, in their order: 64 hexadecimal digits. Equal rows give
 * equal digests however they were stored and whatever the order of their keys.
 */
export function digestRows(rows: Iterable<unknown>): string {
  const hash = createHash('sha256');
  for (const row of rows) hash.update(`${canonicalJson(row, 'row')}\n`);
  return hash.digest('hex');
}
