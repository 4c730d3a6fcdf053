import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { digestFile, type FileDigest, filesOf } from './digest.ts';
import { DataError } from './errors.ts';

/** Which files of a folder count. */
export type Accepts = (file: string) => boolean;

/** The files that a command reads: each digested once, and known to be the ones that were read. */
export interface InputFiles {
  /** Remembers how the files of a file or folder are before they are read. Throws what `digestAll` throws. */
  watch(path: string, accepts?: Accepts): void;
  /** The digests of a file, or of a folder's files, as `digestAll` gives them; paths are absolute. */
  digest(path: string, accepts?: Accepts): FileDigest[];
  /**
   * Throws DataError, which names the file, unless all is as it was when it was first watched or digested:
   * the same files, of the same inode, size and time of change. To be called once they have been read.
   */
  requireUnchanged(): void;
}

interface Watched {
  readonly path: string;
  readonly accepts: Accepts;
  /** By file. */
  readonly states: ReadonlyMap<string, string>;
}

const all: Accepts = () => true;

export function openInputFiles(): InputFiles {
  const watched: Watched[] = [];
  const digests = new Map<string, FileDigest>();
  const watch = (given: string, accepts = all): Watched => {
    const path = resolve(given);
    const before = watched.find((other) => other.path === path && other.accepts === accepts);
    if (before) return before;
    const entry = { path, accepts, states: statesOf(path, accepts) };
    watched.push(entry);
    return entry;
  };
  return {
    watch,
    digest: (path, accepts) =>
      [...watch(path, accepts).states.keys()].map((file) => {
        const digest = digests.get(file) ?? digestFile(file);
        digests.set(file, digest);
        return digest;
      }),
    requireUnchanged() {
      for (const { path, accepts, states } of watched) {
        const now = statesOf(path, accepts);
        const files = new Set([...states.keys(), ...now.keys()]);
        const changed = [...files].find((file) => states.get(file) !== now.get(file));
        if (changed !== undefined)
          throw new DataError(`${changed}: was changed while it was read; run the command again`);
      }
    },
  };
}

function statesOf(path: string, accepts: Accepts): Map<string, string> {
  return new Map(
    filesOf(path, accepts).map((file) => {
      const { dev, ino, size, mtimeNs } = statSync(file, { bigint: true });
      return [file, [dev, ino, size, mtimeNs].join(' ')];
    }),
  );
}
