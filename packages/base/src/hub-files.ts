import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { DataError } from './errors.ts';
import { readWhole } from './files.ts';
import type { HubName } from './hub-name.ts';
import { parseJson } from './parse-json.ts';

const sha1 = z.string().regex(/^[0-9a-f]{40}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const bytes = z.int().nonnegative();

/** A path in a repository: names with `/` between them, none of which leads out or is hidden by a system. */
const repositoryPath = z
  .string()
  .max(1024)
  .regex(/^(?!\.{1,2}(\/|$))[^\\/\p{C}]+(\/(?!\.{1,2}(\/|$))[^\\/\p{C}]+)*$/u);

/**
 * A file of a repository. Its content has the SHA-256 `lfs_sha256`; where there is none, the one that git
 * names `blob_id`: SHA-1 of `blob SIZE\0` and the content.
 */
const listedFile = z.object({
  size: bytes,
  blob_id: sha1,
  lfs_sha256: sha256.optional(),
  lfs_size: bytes.optional(),
  xet_hash: sha256.optional(),
});
export type ListedFile = z.infer<typeof listedFile>;

/** The files of a repository at one commit, by path. */
export type HubListing = ReadonlyMap<string, ListedFile>;

const listingSchema = z.object({
  format_version: z.literal(1),
  files: z.record(repositoryPath, listedFile),
});

/** Bytes of a listing at most: some hundred a file. */
const mostListing = 1 << 28;

/**
 * The listing of these files. Throws DataError, which begins with `where`, for a path that leads out of the
 * repository and for digests that are none.
 */
export function newListing(files: Record<string, unknown>, where: string): HubListing {
  const parsed = z.record(repositoryPath, listedFile).safeParse(files);
  if (parsed.success) return new Map(Object.entries(parsed.data));
  const [{ path }] = parsed.error.issues;
  throw new DataError(
    `${where}: lists ${JSON.stringify(path[0])}, whose path, size or digests are not those of a file`,
  );
}

/** The listing as Hugging Face's cache keeps it, in `trees/COMMIT.json` of a repository. */
export function listingText(listing: HubListing): string {
  const files = Object.fromEntries([...listing].sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify({ format_version: 1, files }, null, 1);
}

/** The listing that the cache keeps of a commit; null where it keeps none, or one of another form. */
function readListing(folder: string, commit: string): HubListing | null {
  const file = join(folder, 'trees', `${commit}.json`);
  if (!existsSync(file)) return null;
  try {
    const { success, data } = listingSchema.safeParse(
      parseJson(readWhole(file, mostListing).toString(), file),
    );
    return success ? new Map(Object.entries(data.files)) : null;
  } catch (error) {
    if (error instanceof DataError) return null;
    throw error;
  }
}

/** The name of a file's content in `blobs`, which is its digest. */
export const blobName = (file: ListedFile): string => file.lfs_sha256 ?? file.blob_id;

/** Bytes of a file's content. */
export const blobSize = (file: ListedFile): number => file.lfs_size ?? file.size;

const single = 'model.safetensors';
const index = 'model.safetensors.index.json';
const modelFile = new RegExp(
  `^(${[
    '(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\\.json',
    'tokenizer\\.model',
    'merges\\.txt',
    'chat_template\\.(jinja|json)',
    'additional_chat_templates/[^/]+\\.jinja',
  ].join('|')})$`,
);
const adapterFile = /^(?:adapter\/)?(?:adapter_config\.json|adapter_model\.safetensors)$/;
const rows = /^[^/]+\.(?:jsonl(?:\.gz|\.zst)?|parquet)$/;

/**
 * Those files of a repository that a name needs, all but the shards that a model's index names: of a model
 * its configuration, tokenizer and safetensors; of an adapter its two files, where a run has them too; of
 * data the file, or the files of rows in the folder.
 */
export function neededFiles({ kind, inside }: HubName, files: Iterable<string>): string[] {
  const all = [...files];
  if (kind === 'adapter') return all.filter((file) => adapterFile.test(file));
  if (kind === 'model') {
    const weights = all.includes(single) ? single : index;
    return all.filter((file) => modelFile.test(file) || file === weights);
  }
  if (all.includes(inside)) return [inside];
  const folder = inside === '' ? '' : `${inside.replace(/\/+$/, '')}/`;
  return all.filter((file) => file.startsWith(folder) && rows.test(file.slice(folder.length)));
}

/** The index among a model's files, whose shards are needed too; null where there is none. */
export const indexOf = (needed: readonly string[]): string | null => (needed.includes(index) ? index : null);

/** The files that an index names, beside it. Throws DataError for what is no index. */
export function shardsOf(file: string): string[] {
  const shard = repositoryPath.refine((name) => !name.includes('/'));
  const schema = z.object({ weight_map: z.record(z.string(), shard) });
  const parsed = schema.safeParse(parseJson(readWhole(file).toString(), file));
  if (!parsed.success)
    throw new DataError(`${file}: must be {"weight_map": {…}}, with the name of a file for each tensor`);
  return [...new Set(Object.values(parsed.data.weight_map))];
}

/**
 * What a snapshot in the cache lacks of what a name needs, in words; null for nothing. Where the cache
 * keeps the commit's listing, each needed file must be there in its length; else what can be seen without
 * one: shards, links that lead to no file, downloads that have not ended.
 */
export function lackingIn(folder: string, commit: string, name: HubName): string | null {
  const snapshot = join(folder, 'snapshots', commit);
  const listing = readListing(folder, commit);
  if (listing === null) return lackingUnlisted(folder, snapshot, name);
  const lacking = (file: string) => {
    const stats = statSync(join(snapshot, file), { throwIfNoEntry: false });
    if (!stats) return `${file} is missing`;
    const listed = listing.get(file);
    if (!listed || stats.size === blobSize(listed)) return null;
    return `${file} has ${stats.size} bytes of ${blobSize(listed)}`;
  };
  const needed = neededFiles(name, listing.keys());
  const first = needed.map(lacking).find((words) => words !== null);
  if (first !== undefined) return first;
  const shards = indexOf(needed) ? shardsOf(join(snapshot, index)) : [];
  return shards.map(lacking).find((words) => words !== null) ?? null;
}

function lackingUnlisted(folder: string, snapshot: string, { kind, inside }: HubName): string | null {
  const blobs = join(folder, 'blobs');
  const names = existsSync(blobs) ? readdirSync(blobs) : [];
  // What was begun and is there meanwhile was begun by a process that was killed.
  const begun = names.find((name) => name.endsWith('.incomplete') && !names.includes(name.split('.')[0]));
  if (begun !== undefined) return `the download of ${begun.slice(0, 12)}… has not ended`;
  const files = readdirSync(snapshot, { recursive: true }) as string[];
  if (files.length === 0) return 'nothing of it is there';
  const dangling = files.find((file) => !existsSync(join(snapshot, file)));
  if (dangling !== undefined) return `${dangling} leads to no file`;
  for (const each of files.filter((file) => file.endsWith('.safetensors.index.json'))) {
    const shard = shardsOf(join(snapshot, each)).find(
      (file) => !existsSync(join(snapshot, dirname(each), file)),
    );
    if (shard !== undefined) return `${shard} is missing, which ${each} names`;
  }
  if (inside !== '' && !existsSync(join(snapshot, inside))) return `${inside} is missing`;
  const wanted = { model: 'config.json', adapter: 'adapter_config.json', dataset: '' }[kind];
  if (wanted !== '' && !files.some((file) => basename(file) === wanted)) return `${wanted} is missing`;
  const hasWeights = kind === 'dataset' || files.some((file) => file.endsWith('.safetensors'));
  return hasWeights ? null : 'there are no weights in safetensors';
}
