import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import {
  blobName,
  blobSize,
  DataError,
  type ListedFile,
  newBlobHash,
  onDisk,
  openRegular,
  writeAll,
} from '@flex/base';
import type { HubClient } from './hub-client.ts';
import { PassingError } from './hub-error.ts';
import { retry } from './retry.ts';

/** A file to be got. */
export interface WantedFile {
  readonly url: string;
  /** What it is, for messages. */
  readonly about: string;
  readonly listed: ListedFile;
  /** Where its content is to be. */
  readonly blob: string;
  /** Told how many bytes are there more, or fewer. */
  readonly onBytes: (bytes: number) => void;
}

/** Where a content is while it is not whole. */
export const incompleteOf = (blob: string): string => `${blob}.flex.incomplete`;

const pieceBytes = 1 << 20;

/**
 * Downloads a file's content, which gets its name once its digest is found right. Until then it is in
 * `incompleteOf(blob)`, which a broken connection, a full disk or an end of the process leaves, and which
 * the next download goes on with.
 *
 * Throws DataError where the bytes are not those of the digest, of which nothing is kept, and where the disk
 * refuses; and what `HubClient.open` throws.
 */
export async function downloadFile(
  client: HubClient,
  { url, about, listed, blob, onBytes }: WantedFile,
): Promise<void> {
  const [size, incomplete] = [blobSize(listed), incompleteOf(blob)];
  const newHash = () => newBlobHash(blobName(listed), size);
  const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  const file = onDisk(incomplete, () => openRegular(incomplete, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW));
  let [hash, done] = [newHash(), 0];
  const restart = () => {
    onDisk(incomplete, () => ftruncateSync(file));
    onBytes(-done);
    [hash, done] = [newHash(), 0];
  };
  const take = (piece: Uint8Array) => {
    hash.update(piece);
    done += piece.length;
    onBytes(piece.length);
  };
  /** Takes what is missing of the file from the hub. */
  const goOn = () =>
    client.open(url, done > 0 ? { range: `bytes=${done}-` } : {}, async (response, heard) => {
      // Who knows no ranges sends all of it.
      if (done > 0 && response.status !== 206) restart();
      const [, from] = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '') ?? [];
      if (response.status === 206 && Number(from) !== done) {
        throw new PassingError(`${about}: the hub sent another part of it than was asked for`);
      }
      for await (const piece of response.body ?? []) {
        heard();
        if (done + piece.length > size) {
          restart();
          throw new DataError(
            `${about}: the hub sent more than the ${size} bytes that it lists; nothing is kept`,
          );
        }
        onDisk(incomplete, () => writeAll(file, piece));
        take(piece);
      }
      if (done < size) throw new PassingError(`${about}: ${size - done} of its ${size} bytes did not come`);
    });
  const complete = () => retry(client, { attempt: goOn, progress: () => done });
  try {
    if (fstatSync(file).size > size) onDisk(incomplete, () => ftruncateSync(file));
    const piece = Buffer.allocUnsafe(pieceBytes);
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece))
      take(piece.subarray(0, read));
    const before = done;
    if (done < size) await complete();
    let digest = hash.digest('hex');
    if (digest !== blobName(listed) && before > 0) {
      // What was there before may have been damaged.
      restart();
      await complete();
      digest = hash.digest('hex');
    }
    if (digest !== blobName(listed)) {
      rmSync(incomplete);
      onBytes(-done);
      const kind = listed.lfs_sha256 === undefined ? "git's SHA-1" : 'SHA-256';
      const line = `what the hub sent has ${kind} ${digest}, and what it lists ${blobName(listed)}`;
      throw new DataError(`${about}: ${line}; nothing is kept`);
    }
    onDisk(incomplete, () => fsyncSync(file));
    onDisk(blob, () => renameSync(incomplete, blob));
  } finally {
    closeSync(file);
  }
}
