import { closeSync, lstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isLockFile } from '@flex/base';

/** Bytes of a piece of a file. */
export const pieceBytes = 1 << 20;

/**
 * The files in these places of a folder, which are folders or files, by their paths in it, `/` between names;
 * no links, no locks and nothing half-written. Those of checkpoints are first: who reads the files in this
 * order while a run goes on has logs that are at least as long as the checkpoints that they belong to.
 */
export function filesIn(base: string, places: readonly string[]): string[] {
  const found = places.flatMap((place) => walk(base, place));
  return [...found.filter(isInCheckpoint), ...found.filter((file) => !isInCheckpoint(file))];
}

function walk(base: string, folder: string): string[] {
  const stats = lstatSync(join(base, folder), { throwIfNoEntry: false });
  if (stats?.isFile()) return [folder];
  if (!stats?.isDirectory()) return [];
  return readdirSync(join(base, folder), { withFileTypes: true })
    .filter(({ name }) => !isLockFile(name) && !/^\..*\.partial$/.test(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return walk(base, path);
      return entry.isFile() ? [path] : [];
    });
}

/** The checkpoint that a file is of, which comes and goes as a whole; undefined for another file. */
export const checkpointOf = (file: string): string | undefined =>
  /^.*\/checkpoints\/step-\d+(?=\/)/.exec(file)?.[0];
const isInCheckpoint = (file: string) => checkpointOf(file) !== undefined;

/** Whether a file stands for all else in its folder, so that it comes last and is the first to go. */
export const isSeal = (file: string): boolean => /\/(summary|results)\.json$/.test(file);

/** What tells whether a file is still as it was read. */
export function stateOf(path: string): string {
  const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return [ino, size, mtimeNs, ctimeNs].join(' ');
}

/** A file in pieces, each in memory of its own. */
export function* piecesOf(path: string): Generator<Buffer> {
  const file = openSync(path, 'r');
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(pieceBytes);
      const bytes = readSync(file, piece);
      if (bytes > 0) yield piece.subarray(0, bytes);
      if (bytes < pieceBytes) return;
    }
  } finally {
    closeSync(file);
  }
}
