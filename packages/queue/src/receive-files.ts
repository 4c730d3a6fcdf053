import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  DataError,
  digestFile,
  makeFolder,
  makeOwnFolder,
  onDisk,
  removePartial,
  syncDirectory,
  writeAll,
  writeAtomic,
} from '@flex/base';
import { checkpointOf, filesIn, isSeal } from './folder-files.ts';
import type { JobFiles, ListedFile } from './job-files.ts';

export interface ReceiveOptions {
  /** The job's folders and files in `base`: nothing else is written. */
  readonly places: readonly string[];
  /** Files whose content is another one here than there, by their paths. */
  readonly rewrite?: (path: string) => ((content: Buffer) => string) | undefined;
}

/**
 * Makes a job's places in a folder hold what a listing of the job says, each file checked by its digest
 * and written whole or not at all; what stands for the rest of a folder goes first and comes last, so that a
 * process that is killed leaves a run that goes on. What this function has received before is not fetched
 * again. The function gives false where the listing was overtaken by a newer one.
 */
export function receiver(
  files: JobFiles,
  base: string,
  { places, rewrite = () => undefined }: ReceiveOptions,
) {
  /** Digests of what was received, by path. */
  const received = new Map<string, string>();
  /** Whether nothing half-written, of a process before, is left. */
  let isTidy = false;
  const at = (path: string) => join(base, path);
  const isHere = ({ path, sha256 }: ListedFile) =>
    existsSync(at(path)) && (received.get(path) ?? digestFile(at(path)).sha256) === sha256;

  /** The pieces of a file, checked; throws Overtaken. */
  async function* contentOf({ path, pieces, sha256 }: ListedFile): AsyncGenerator<Buffer> {
    const whole = createHash('sha256');
    for (const digest of pieces) {
      const piece = await files.piece(digest);
      if (piece === null) throw new Overtaken();
      whole.update(piece);
      yield piece;
    }
    if (whole.digest('hex') !== sha256)
      throw new DataError(`${path}: arrived with another digest than it had`);
  }
  const write = async (file: ListedFile, to = at(file.path)): Promise<void> => {
    ownFolders(base, dirname(file.path));
    const change = rewrite(file.path);
    if (change) {
      const content: Buffer[] = [];
      for await (const piece of contentOf(file)) content.push(piece);
      writeAtomic(to, change(Buffer.concat(content)));
    } else await writePieces(to, contentOf(file));
    received.set(file.path, file.sha256);
  };
  /** A checkpoint is there as a whole or not at all. */
  const writeCheckpoint = async (checkpoint: string, parts: readonly ListedFile[]): Promise<void> => {
    const partial = partialOf(checkpoint);
    ownFolders(base, dirname(checkpoint));
    onDisk(at(partial), () => rmSync(at(partial), { recursive: true, force: true }));
    for (const part of parts) {
      await write({ ...part, path: partial + part.path.slice(checkpoint.length) });
      received.set(part.path, part.sha256);
    }
    onDisk(at(checkpoint), () => {
      rmSync(at(checkpoint), { recursive: true, force: true });
      renameSync(at(partial), at(checkpoint));
      syncDirectory(dirname(at(checkpoint)));
    });
  };
  /** Takes a checkpoint away as a whole. */
  const retire = (checkpoint: string) => {
    const partial = at(partialOf(checkpoint));
    onDisk(partial, () => {
      rmSync(partial, { recursive: true, force: true });
      renameSync(at(checkpoint), partial);
      rmSync(partial, { recursive: true });
    });
  };
  const remove = (path: string) => {
    onDisk(at(path), () => rmSync(at(path), { force: true }));
    received.delete(path);
  };

  return async (): Promise<boolean> => {
    const listing = await files.listing();
    if (listing === null) return true;
    for (const { path } of listing.files) requireWithin(path, places);
    const missing = listing.files.filter((file) => !isHere(file));
    const listed = new Set(listing.files.map(({ path }) => path));
    const here = filesIn(base, places);
    const left = here.filter((path) => !listed.has(path));
    if (missing.length === 0 && left.length === 0 && isTidy) return true;
    isTidy = false;
    const isStale = (path: string) => !listed.has(path) || missing.some((file) => file.path === path);
    try {
      here.filter((path) => isSeal(path) && isStale(path)).forEach(remove);
      const seals = missing.filter(({ path }) => isSeal(path));
      for (const file of missing) if (!checkpointOf(file.path) && !isSeal(file.path)) await write(file);
      for (const checkpoint of new Set(missing.flatMap(({ path }) => checkpointOf(path) ?? []))) {
        await writeCheckpoint(
          checkpoint,
          listing.files.filter(({ path }) => checkpointOf(path) === checkpoint),
        );
      }
      const gone = new Set(left.flatMap((path) => checkpointOf(path) ?? []));
      for (const file of listing.files) gone.delete(checkpointOf(file.path) ?? '');
      gone.forEach(retire);
      left.filter((path) => !gone.has(checkpointOf(path) ?? '')).forEach(remove);
      for (const place of places) tidyUp(at(place));
      for (const file of seals) await write(file);
      isTidy = true;
      return true;
    } catch (error) {
      if (error instanceof Overtaken) return false;
      throw error;
    }
  };
}

const partialOf = (checkpoint: string) => `${dirname(checkpoint)}/.${basename(checkpoint)}.partial`;

class Overtaken extends Error {
  override readonly name = 'Overtaken';
}

/** Throws DataError for a path that is in none of the places. */
function requireWithin(path: string, places: readonly string[]): void {
  const steps = path.split('/');
  const isPlain = steps.every((step) => step !== '' && step !== '.' && step !== '..' && !/[\\\0]/.test(step));
  if (isPlain && places.some((place) => path === place || path.startsWith(`${place}/`))) return;
  throw new DataError(`files of a job: ${JSON.stringify(path)} is none of its places`);
}

/** Makes a folder within a base, and those on the way; throws DataError where one is a link. */
function ownFolders(base: string, folder: string): void {
  makeFolder(base);
  let path = base;
  for (const step of folder.split('/')) {
    path = join(path, step);
    makeOwnFolder(path);
  }
}

/** Writes a file so that its path holds all of it or what it held before. */
async function writePieces(path: string, pieces: AsyncIterable<Buffer>): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.${process.pid}.partial`);
  try {
    onDisk(path, () => rmSync(beside, { force: true }));
    const file = onDisk(path, () => openSync(beside, 'wx'));
    try {
      for await (const piece of pieces) onDisk(path, () => writeAll(file, piece));
      onDisk(path, () => fsyncSync(file));
    } finally {
      closeSync(file);
    }
    onDisk(path, () => renameSync(beside, path));
    onDisk(path, () => syncDirectory(dirname(path)));
  } finally {
    rmSync(beside, { force: true });
  }
}

/**
 * Removes what is empty of a folder and the folders in it, and what a process that was killed left
 * half-written.
 */
function tidyUp(folder: string): void {
  if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  removePartial(folder);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) tidyUp(join(folder, entry.name));
  }
  if (readdirSync(folder).length === 0) onDisk(folder, () => rmdirSync(folder));
}
