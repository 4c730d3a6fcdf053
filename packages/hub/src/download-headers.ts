import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  blobSize,
  DataError,
  type HubName,
  hubNameText,
  indexOf,
  neededFiles,
  onDisk,
  writeAll,
} from '@flex/base';
import { commitAtHub } from './commit-at-hub.ts';
import { addressOf, listedShards, requireUseful } from './download-blobs.ts';
import { downloadFile } from './download-file.ts';
import { clientsFor, type DownloadOptions } from './download-snapshot.ts';
import type { HubClient } from './hub-client.ts';
import { PassingError } from './hub-error.ts';
import { retry } from './retry.ts';

/** A model at the hub, of which the headers were read. */
export interface HeadersAtHub {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  /** What a download of the model takes, which has not taken place. */
  readonly files: number;
  readonly bytes: number;
}

/**
 * Writes into a folder what tells what a model of the hub is: config.json, the tokenizer and the index whole,
 * under their digests, and of each safetensors file its header, in a file as long as the whole one and empty
 * behind. Nothing else is asked of the hub, and nothing written into Hugging Face's cache. The folder is the
 * caller's, to be removed: its weights are zeros.
 *
 * Throws what `downloadSnapshot` throws, and DataError for a file whose header cannot be one.
 */
export async function downloadHeaders(
  name: HubName,
  folder: string,
  options: Omit<DownloadOptions, 'onProgress'> = {},
): Promise<HeadersAtHub> {
  const client = clientsFor(name, options)();
  const { commit, listing } = await commitAtHub(client, name);
  const needed = neededFiles(name, listing.keys());
  requireUseful(name, needed, listing);
  const get = async (file: string) => {
    const listed = listing.get(file)!;
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    const url = addressOf(client, { name, commit, file });
    const about = `${hubNameText(name)}: ${file}`;
    if (!file.endsWith('.safetensors'))
      return downloadFile(client, { url, about, listed, blob: path, onBytes: () => {} });
    const bytes = blobSize(listed);
    writeSparse(path, await headerOf(client, { url, about, bytes }), bytes);
  };
  const index = indexOf(needed);
  for (const file of needed) await get(file);
  const shards = index === null ? [] : listedShards(join(folder, index), { name, listing, index });
  for (const file of shards) await get(file);
  const files = [...needed, ...shards];
  const bytes = files.reduce((sum, file) => sum + blobSize(listing.get(file)!), 0);
  return { commit, files: files.length, bytes };
}

/** The header's length, and what is asked for with it: the headers of most files are smaller. */
const lengthBytes = 8;
const firstBytes = 100_000;
/** Bytes of a header at most, as the format's own library has it. */
const mostHeader = 100_000_000;

interface AtHub {
  readonly url: string;
  readonly about: string;
  /** Of the whole file. */
  readonly bytes: number;
}

/** The beginning of a safetensors file: the length of its header, and the header. */
async function headerOf(client: HubClient, { url, about, bytes }: AtHub): Promise<Buffer> {
  let got = Buffer.alloc(0);
  const upTo = (end: number) =>
    retry(client, {
      progress: () => got.length,
      attempt: () =>
        client.open(url, { range: `bytes=${got.length}-${end - 1}` }, async (response, heard) => {
          // Who knows no ranges sends all of it, of which no more is read than is needed.
          if (response.status !== 206) got = Buffer.alloc(0);
          const [, from] = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '') ?? [];
          if (response.status === 206 && Number(from) !== got.length)
            throw new PassingError(`${about}: the hub sent another part of it than was asked for`);
          for await (const piece of response.body ?? []) {
            heard();
            got = Buffer.concat([got, piece]);
            if (got.length >= end) return;
          }
          if (got.length < end)
            throw new PassingError(`${about}: ${end - got.length} of the bytes did not come`);
        }),
    });
  if (bytes < lengthBytes)
    throw new DataError(`${about}: has ${bytes} bytes, and the length of a header alone has ${lengthBytes}`);
  await upTo(Math.min(bytes, firstBytes));
  const header = got.readBigUInt64LE();
  const end = BigInt(lengthBytes) + header;
  if (header > mostHeader || end > bytes) {
    const most = `the file has ${bytes} and a header at most ${mostHeader}`;
    throw new DataError(`${about}: says that its header has ${header} bytes; ${most}: is it safetensors?`);
  }
  if (got.length < end) await upTo(Number(end));
  return got.subarray(0, Number(end));
}

/** Writes a file that begins so and takes no more room on the disk, however long it is. */
function writeSparse(path: string, begin: Uint8Array, bytes: number): void {
  onDisk(path, () => {
    const file = openSync(path, 'wx');
    try {
      writeAll(file, begin);
      ftruncateSync(file, bytes);
    } finally {
      closeSync(file);
    }
  });
}
