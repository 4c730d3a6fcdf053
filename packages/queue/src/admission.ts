import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Code, ConfigError, type FileDigest, filesOf, locate, sourceOf } from '@flex/base';
import { decidesModel } from '@flex/train';
import { piecesOf, stateOf } from './folder-files.ts';
import type { QueuedJob } from './queued-job.ts';

/** What a worker has. */
export interface Equipment {
  readonly code: Code;
  /** Where models and data lie that are not where they are on the study's machine; null: nowhere else. */
  readonly inputs: string | null;
}

/**
 * A value with every absolute path in it that leads nowhere here as the path of what has its last name in
 * the worker's folder of inputs, where something there has.
 */
export function placed<T>(value: T, { inputs }: Pick<Equipment, 'inputs'>): T {
  const place = (one: unknown): unknown => {
    if (Array.isArray(one)) return one.map(place);
    if (typeof one === 'object' && one !== null) {
      return Object.fromEntries(Object.entries(one).map(([key, inner]) => [key, place(inner)]));
    }
    if (typeof one !== 'string' || inputs === null || !isAbsolute(one) || existsSync(one)) return one;
    const other = join(inputs, basename(one));
    return existsSync(other) ? other : one;
  };
  return place(value) as T;
}

/** Digests files, each once for as long as it is as it was, and leaves room for others meanwhile. */
export function newDigester(): (path: string) => Promise<FileDigest> {
  const known = new Map<string, { readonly state: string; readonly digest: FileDigest }>();
  return async (path) => {
    const state = stateOf(path);
    const before = known.get(path);
    if (before?.state === state) return before.digest;
    const hash = createHash('sha256');
    let bytes = 0;
    for (const piece of piecesOf(path)) {
      hash.update(piece);
      bytes += piece.length;
      await setImmediate();
    }
    const digest = { path, bytes, sha256: hash.digest('hex') };
    known.set(path, { state, digest });
    return digest;
  };
}

/**
 * Why a worker cannot do a job as its study's machine would, in words: other code, or a model or data that
 * are not there or others. Null where it can.
 */
export async function refusalOf(
  { code, inputs }: QueuedJob,
  equipment: Equipment,
  digest: (path: string) => Promise<FileDigest>,
): Promise<string | null> {
  if (code.source !== equipment.code.source) {
    return `its flex is another one (source ${short(equipment.code.source)}, and the study's is ${short(code.source)})`;
  }
  const names = [...new Set([...Object.keys(code.versions), ...Object.keys(equipment.code.versions)])];
  const other = names.find((name) => code.versions[name] !== equipment.code.versions[name]);
  if (other !== undefined) {
    const [its, ours] = [equipment.code, code].map(({ versions }) => versions[other] ?? 'none');
    return `its ${other} is ${its}, and the study's is ${ours}`;
  }
  for (const input of inputs) {
    const path = placeOf(input, equipment);
    if (!existsSync(path)) {
      return `it has no ${path}, and nothing of that name among its --inputs`;
    }
    const files = filesOf(path, input.is_model ? decidesModel : () => true);
    const digests: FileDigest[] = [];
    for (const file of files) digests.push(await digest(file));
    const { sha256 } = sourceOf(path, digests);
    if (sha256 !== input.sha256) {
      return `its ${path} is another one (${short(sha256)}, and the study's is ${short(input.sha256)})`;
    }
  }
  return null;
}

/** Where an input is here. A name of the hub that the cache has not is its own place, where nothing is. */
function placeOf({ path, is_model }: QueuedJob['inputs'][number], equipment: Equipment): string {
  if (isAbsolute(path)) return placed(path, equipment);
  try {
    return locate(path, is_model ? 'model' : 'dataset');
  } catch (error) {
    if (error instanceof ConfigError) return path;
    throw error;
  }
}

const short = (digest: string) => digest.slice(0, 12);
