import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  BusyError,
  blobName,
  ConfigError,
  type FolderLock,
  type HubName,
  hubCache,
  hubNameText,
  isHubOffline,
  listingText,
  lockFolder,
  makeFolder,
  onDisk,
  removePartial,
  repositoryFolder,
  writeAtomic,
} from '@flex/base';
import { commitAtHub } from './commit-at-hub.ts';
import { type DownloadProgress, downloadBlobs } from './download-blobs.ts';
import { type HubClient, newHubClient } from './hub-client.ts';
import { hubSettings } from './hub-settings.ts';
import { type Patience, patience } from './retry.ts';

export interface DownloadOptions {
  /** Aborted: rejects with its reason; what has come is kept for the next download. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Told in a line what is waited for: another process, or a hub that is busy or cannot be reached. */
  readonly note?: (line: string) => void;
  /** The environment that says where hub and cache are; else the process's. */
  readonly environment?: NodeJS.ProcessEnv;
  readonly patience?: Patience;
}

/** Milliseconds between two looks at whether another process has ended its download. */
const look = 200;

/**
 * Downloads what a name needs (`neededFiles`) from the hub into Hugging Face's cache, in its own layout,
 * and gives the snapshot's folder. Contents that are there are not downloaded again, of one that is there
 * in part only the rest. Each digest is checked before a content gets its name, and the branch or tag leads
 * to the snapshot once all of it is there: whenever the process ends, nothing that is half there counts as
 * whole.
 *
 * Of several processes that want files of one repository, one downloads at a time. Throws ConfigError where
 * HF_HUB_OFFLINE forbids it, where the hub has no such repository, revision or file or none for this token,
 * and where the disk has no room; DataError for wrong digests and for a disk that refuses; HubError for a
 * hub that does not answer as it should.
 */
export async function downloadSnapshot(name: HubName, options: DownloadOptions = {}): Promise<string> {
  const { environment = process.env, onProgress = () => {} } = options;
  const about = hubNameText(name);
  const newClient = clientsFor(name, options);
  const { commit, listing } = await commitAtHub(newClient(), name);
  const cache = hubCache(environment);
  const folder = join(cache, repositoryFolder(name));
  const snapshot = join(folder, 'snapshots', commit);
  const blobs = join(folder, 'blobs');
  const lock = await lockWhenFree(join(cache, '.locks', repositoryFolder(name)), about, options);
  try {
    for (const part of [blobs, join(folder, 'refs'), join(folder, 'trees')]) makeFolder(part);
    const files = await downloadBlobs(newClient, { name, commit, listing, blobs }, onProgress);
    removePartial(join(folder, 'trees'));
    writeAtomic(join(folder, 'trees', `${commit}.json`), listingText(listing));
    for (const file of files) link(join(blobs, blobName(listing.get(file)!)), join(snapshot, file));
    const { revision } = name;
    const isCommit = revision !== null && commit.startsWith(revision);
    if (!isCommit) {
      const reference = join(folder, 'refs', ...(revision ?? 'main').split('/'));
      makeFolder(dirname(reference));
      removePartial(dirname(reference));
      writeAtomic(reference, commit);
    }
    return snapshot;
  } finally {
    lock.release();
  }
}

/**
 * Makes clients that ask the hub about a name, each with a signal of its own besides that of the options.
 * Throws ConfigError where HF_HUB_OFFLINE forbids it, and what `hubSettings` throws.
 */
export function clientsFor(name: HubName, options: DownloadOptions): (other?: AbortSignal) => HubClient {
  const { environment = process.env, signal, note } = options;
  const about = hubNameText(name);
  if (isHubOffline(environment)) throw new ConfigError(`${about}: HF_HUB_OFFLINE forbids downloads`);
  const settings = hubSettings(environment);
  return (other) =>
    newHubClient(about, settings, {
      patience: options.patience ?? patience,
      signal: AbortSignal.any([signal, other].filter((each) => each !== undefined)),
      note,
    });
}

/** The lock of a folder, once no other process has it. Throws what `lockFolder` throws but BusyError. */
async function lockWhenFree(
  folder: string,
  about: string,
  { signal, note }: DownloadOptions,
): Promise<FolderLock> {
  for (let isTold = false; ; isTold = true) {
    try {
      return lockFolder(folder);
    } catch (error) {
      if (!(error instanceof BusyError)) throw error;
      if (!isTold) note?.(`${about}: another process downloads from this repository; this one waits`);
    }
    await setTimeout(look, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}

/** Makes a file of a snapshot a link to its content, relative, so that the cache can be moved as a whole. */
function link(blob: string, file: string): void {
  const beside = `${file}.partial`;
  onDisk(file, () => {
    mkdirSync(dirname(file), { recursive: true });
    rmSync(beside, { force: true });
    symlinkSync(relative(dirname(file), blob), beside);
    renameSync(beside, file);
  });
}
