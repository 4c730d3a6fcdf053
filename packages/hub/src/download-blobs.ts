import { existsSync, statfsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  blobName,
  blobSize,
  byteText,
  ConfigError,
  type HubListing,
  type HubName,
  homePath,
  hubNameText,
  indexOf,
  neededFiles,
  shardsOf,
} from '@flex/base';
import type { HubCommit } from './commit-at-hub.ts';
import { downloadFile, incompleteOf } from './download-file.ts';
import type { HubClient } from './hub-client.ts';

/** How far a download is, in bytes of the files that a name needs. */
export interface DownloadProgress {
  readonly bytes: number;
  readonly total: number;
}

/** What is to be downloaded, and where to. */
export interface BlobsWanted extends HubCommit {
  readonly name: HubName;
  /** The folder `blobs` of the repository in the cache. */
  readonly blobs: string;
}

/** Files that are downloaded at a time. */
const lanes = 4;

/**
 * Downloads the contents of the files that a name needs and that are not there yet, and gives the paths of
 * all of them, an index's shards included. At the first failure all downloads end, before this rejects.
 * Throws ConfigError where the repository has not what the name needs, and where the disk has no room for
 * it; and what `downloadFile` throws.
 */
export async function downloadBlobs(
  newClient: (signal?: AbortSignal) => HubClient,
  { name, commit, listing, blobs }: BlobsWanted,
  onProgress: (progress: DownloadProgress) => void,
): Promise<string[]> {
  const about = hubNameText(name);
  const listed = (file: string) => listing.get(file)!;
  const blobOf = (file: string) => join(blobs, blobName(listed(file)));
  const isThere = (file: string) =>
    existsSync(blobOf(file)) && sizeOf(blobOf(file)) === blobSize(listed(file));
  const bytesOf = (files: readonly string[]) => files.reduce((sum, file) => sum + blobSize(listed(file)), 0);
  const get = (client: HubClient, file: string, onBytes: (bytes: number) => void) => {
    return downloadFile(client, {
      url: addressOf(client, { name, commit, file }),
      about: `${about}: ${file}`,
      listed: listed(file),
      blob: blobOf(file),
      onBytes,
    });
  };
  const needed = neededFiles(name, listing.keys());
  requireUseful(name, needed, listing);
  const index = indexOf(needed);
  if (index !== null) {
    if (!isThere(index)) await get(newClient(), index, () => {});
    needed.push(...listedShards(blobOf(index), { name, listing, index }));
  }
  // Files of the same content are one blob.
  const missing = [
    ...new Map(needed.filter((file) => !isThere(file)).map((file) => [blobOf(file), file])).values(),
  ];
  const begun = missing.reduce((sum, file) => sum + sizeOf(incompleteOf(blobOf(file))), 0);
  requireRoom(about, blobs, bytesOf(missing) - begun);

  const total = bytesOf(needed);
  let bytes = total - bytesOf(missing);
  const onBytes = (more: number) => {
    bytes += more;
    onProgress({ bytes, total });
  };
  const failure = new AbortController();
  const client = newClient(failure.signal);
  const lane = async () => {
    for (let file = missing.shift(); file !== undefined; file = missing.shift())
      await get(client, file, onBytes);
  };
  const started = Array.from({ length: lanes }, () => lane().catch((error) => failure.abort(error)));
  await Promise.all(started);
  failure.signal.throwIfAborted();
  return needed;
}

/** Where the hub has a file of a commit. */
export function addressOf(
  { endpoint }: Pick<HubClient, 'endpoint'>,
  { name, commit, file }: Pick<BlobsWanted, 'name' | 'commit'> & { readonly file: string },
): string {
  const repository = `${name.kind === 'dataset' ? 'datasets/' : ''}${name.repository}`;
  const path = file.split('/').map(encodeURIComponent).join('/');
  return `${endpoint}/${repository}/resolve/${commit}/${path}`;
}

/** The shards that an index names, at `path`. Throws ConfigError for one that the repository has not. */
export function listedShards(
  path: string,
  { name, listing, index }: Pick<BlobsWanted, 'name' | 'listing'> & { readonly index: string },
): string[] {
  const shards = shardsOf(path);
  const missing = shards.find((shard) => !listing.has(shard));
  if (missing === undefined) return shards;
  throw new ConfigError(`${hubNameText(name)}: ${index} names ${missing}, which the repository has not`);
}

/** Throws ConfigError unless the repository has what makes a model, an adapter or rows. */
export function requireUseful(
  { kind, ...name }: HubName,
  needed: readonly string[],
  listing: HubListing,
): void {
  const about = hubNameText({ kind, ...name });
  if (kind === 'dataset') {
    if (needed.length > 0) return;
    const rows = [...listing.keys()].filter((file) => /\.(jsonl?|parquet|gz|zst)$/.test(file));
    const others = rows.length > 0 ? `; it has ${rows.slice(0, 3).join(', ')}` : '';
    const where = name.inside === '' ? 'at its top' : 'of that name';
    throw new ConfigError(`${about}: has no file or folder of rows ${where}${others}`);
  }
  const [config, weights] =
    kind === 'model'
      ? ['config.json', /^model\.safetensors(\.index\.json)?$/]
      : ['adapter_config.json', /adapter_model\.safetensors$/];
  if (!needed.some((file) => basename(file) === config))
    throw new ConfigError(`${about}: is no ${kind} that is known here: it has no ${config}`);
  if (!needed.some((file) => weights.test(file)))
    throw new ConfigError(`${about}: has no weights in safetensors, and others are not read`);
}

/** Throws ConfigError where the disk has not so many bytes left. */
function requireRoom(about: string, folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  if (bytes <= bavail * bsize) return;
  const free = `${byteText(bavail * bsize)} are free in ${homePath(folder)}`;
  throw new ConfigError(`${about}: needs ${byteText(bytes)}, and ${free}; HF_HUB_CACHE names another folder`);
}

const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
