import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DataError, parseJson } from '@flex/base';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { filesIn, piecesOf, stateOf } from './folder-files.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** What there is of a job, in the order in which it was read. */
const listingSchema = z.strictObject({
  files: z.array(
    z.strictObject({
      /** In the study's folder, `/` between names. */
      path: z.string(),
      bytes: z.int().min(0),
      sha256,
      /** SHA-256 of each piece, in order. */
      pieces: z.array(sha256),
    }),
  ),
});
export type Listing = z.output<typeof listingSchema>;
export type ListedFile = Listing['files'][number];

/** The field of a job's hash that has its listing; the others are pieces, by their digests. */
const listingField = 'listing';

/** Sets fields of a hash if a key has a value: the lock of a job that of the worker that has it. */
const setIfHeld = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1`;
const removeIfHeld = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
return 1`;

/** A worker's right to a job: its lock in Redis, and what that holds. */
export interface Lease {
  readonly key: string;
  readonly token: string;
}

/** The files of a job as Redis has them. */
export interface JobFiles {
  /** What there is; null where there is nothing yet. Throws DataError for what is malformed. */
  listing(): Promise<Listing | null>;
  /**
   * A piece; null where there is no such piece any more: a newer listing has others. Throws DataError for
   * another one.
   */
  piece(sha256: string): Promise<Buffer | null>;
  /**
   * Puts what is in these places of `base` there, sending what Redis has not. False where the lease has run
   * out: then what is there is another worker's, and stays.
   */
  publish(base: string, places: readonly string[], lease: Lease | null): Promise<boolean>;
  remove(): Promise<void>;
}

/** Where the files of a job are kept: a hash of their pieces and of the listing. */
export const filesKeyOf = (job: string): string => `flex:files:${job}`;

export function jobFiles(client: Redis, job: string): JobFiles {
  const key = filesKeyOf(job);
  /** Files that were read before, by path, and how they were then. */
  const known = new Map<string, { readonly state: string; readonly file: ListedFile }>();
  /** Sets a field unless the lease has run out. */
  const set = async (field: string, value: string | Buffer, lease: Lease | null): Promise<boolean> => {
    if (lease !== null)
      return (await client.eval(setIfHeld, 2, lease.key, key, lease.token, field, value)) === 1;
    await client.hset(key, field, value);
    return true;
  };
  return {
    async listing() {
      const text = await client.hget(key, listingField);
      if (text === null) return null;
      const parsed = listingSchema.safeParse(parseJson(text, `files of job ${job}`));
      if (!parsed.success)
        throw new DataError(`files of job ${job}: are no listing of flex: ${parsed.error.message}`);
      return parsed.data;
    },
    async piece(digest) {
      const piece = await client.hgetBuffer(key, digest);
      if (piece !== null && digestOf(piece) !== digest)
        throw new DataError(`files of job ${job}: ${digest} is damaged`);
      return piece;
    },
    async publish(base, places, lease) {
      const stored = new Set(await client.hkeys(key));
      const files: ListedFile[] = [];
      for (const path of filesIn(base, places)) {
        const state = stateOf(join(base, path));
        const before = known.get(path);
        const isKnown = before?.state === state && before.file.pieces.every((piece) => stored.has(piece));
        const whole = createHash('sha256');
        const read = { path, bytes: 0, pieces: [] as string[] };
        for (const piece of isKnown ? [] : piecesOf(join(base, path))) {
          const digest = digestOf(piece);
          if (!stored.has(digest) && !(await set(digest, piece, lease))) return false;
          stored.add(digest);
          whole.update(piece);
          read.pieces.push(digest);
          read.bytes += piece.length;
        }
        const file = isKnown ? before.file : { ...read, sha256: whole.digest('hex') };
        known.set(path, { state, file });
        files.push(file);
      }
      const listing: Listing = { files };
      if (!(await set(listingField, JSON.stringify(listing), lease))) return false;
      const needed = new Set([listingField, ...files.flatMap(({ pieces }) => pieces)]);
      const left = [...stored].filter((field) => !needed.has(field));
      if (left.length === 0) return true;
      if (lease === null) return (await client.hdel(key, ...left)) >= 0;
      return (await client.eval(removeIfHeld, 2, lease.key, key, lease.token, ...left)) === 1;
    },
    remove: async () => void (await client.unlink(key)),
  };
}

const digestOf = (piece: Buffer) => createHash('sha256').update(piece).digest('hex');
