import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, readSync, realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { openRegular } from './files.ts';

/** A file of Hugging Face's cache, which is a link to a blob that has its own digest for a name. */
export interface Blob {
  readonly path: string;
  readonly bytes: number;
  /** What the digest must be: 40 or 64 hexadecimal digits. */
  readonly name: string;
  /** The digest of what is there; `onBytes` is told how many bytes were read so far. */
  digest(onBytes?: (bytes: number) => void): string;
}

const pieceBytes = 1 << 22;

/**
 * The hash of a content of so many bytes that has its digest for a name: SHA-256 for one of 64 digits, else
 * SHA-1 as git takes it, of `blob <bytes>\0` and the bytes.
 */
export function newBlobHash(name: string, bytes: number): Hash {
  return name.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`);
}

/** The blob that a file of the cache is, named as `newBlobHash` says; null for a file whose name tells no digest. */
export function readBlob(path: string): Blob | null {
  const real = realpathSync(path);
  const name = basename(real);
  if (basename(dirname(real)) !== 'blobs' || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name)) return null;
  const open = <T>(f: (file: number, bytes: number) => T): T => {
    const file = openRegular(real);
    try {
      return f(file, fstatSync(file).size);
    } finally {
      closeSync(file);
    }
  };
  return {
    path,
    bytes: open((_, bytes) => bytes),
    name,
    digest: (onBytes) =>
      open((file, bytes) => {
        const hash = newBlobHash(name, bytes);
        const piece = Buffer.allocUnsafe(Math.min(pieceBytes, Math.max(1, bytes)));
        let done = 0;
        for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) {
          hash.update(piece.subarray(0, read));
          done += read;
          onBytes?.(done);
        }
        return hash.digest('hex');
      }),
  };
}
