import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type HubKind, type HubName, hubPath, NotCachedError, parseHubName } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { type DownloadOptions, downloadSnapshot } from '../download-snapshot.ts';
import { type Asked, type Fault, type HubServer, startHubServer } from './hub-server.ts';
import { modelFiles } from './model-files.ts';

export const patience = { tries: 3, pause: 0.001, silence: 30 };

/** What a test has for itself: a server, and Hugging Face's folder. */
export const hub = {} as { server: HubServer; home: string; readonly cache: string };

/** Gives each test of a file a server and a folder of its own, to which the environment leads. */
export function eachWithHub(): void {
  beforeEach(async () => {
    const home = temporaryFolder();
    Object.assign(hub, { server: await startHubServer(), home, cache: join(home, 'hub') });
    for (const name of ['HF_HUB_CACHE', 'HF_HUB_OFFLINE', 'HF_TOKEN', 'HF_TOKEN_PATH']) vi.stubEnv(name, '');
    vi.stubEnv('HF_HOME', home);
    vi.stubEnv('HF_ENDPOINT', hub.server.endpoint);
  });
  afterEach(() => {
    hub.server.close();
    vi.unstubAllEnvs();
  });
}

export const named = (text: string, kind: HubKind = 'model') => parseHubName(text, kind) as HubName;

export const get = (text: string, kind: HubKind = 'model', options: DownloadOptions = {}) =>
  downloadSnapshot(named(text, kind), { patience, ...options });

/** The error that a download ends with, whose message is one line. */
export async function refusal(text: string, kind?: HubKind, options?: DownloadOptions): Promise<Error> {
  const error = await get(text, kind, options).then(
    () => null,
    (thrown: unknown) => thrown as Error,
  );
  expect(error).toBeInstanceOf(Error);
  expect(error!.message).not.toContain('\n');
  return error!;
}

/** Serves the model `org/name`; gives its files. */
export function serveModel(more: object = {}, shardBytes?: number): Map<string, Uint8Array> {
  const files = modelFiles(shardBytes);
  hub.server.repositories.set('models/org/name', { files, ...more });
  return files;
}

/** Fails the requests whose path has this text as the faults say, one after the other. */
export function failAt(text: string, ...faults: (Fault | null)[]): void {
  hub.server.fault = ({ path }) => (path.includes(text) ? (faults.shift() ?? null) : null);
}

export const askedFor = (text: string): Asked[] => hub.server.asked.filter(({ path }) => path.includes(text));

export function isCached(text = 'org/name', kind: HubKind = 'model'): boolean {
  try {
    return hubPath(text, kind, temporaryFolder()) !== null;
  } catch (error) {
    expect(error).toBeInstanceOf(NotCachedError);
    return false;
  }
}

/** That a snapshot has these files of a repository, and no others. */
export function expectWhole(
  snapshot: string,
  files: ReadonlyMap<string, Uint8Array>,
  paths: readonly string[] = needed,
): void {
  const there = (readdirSync(snapshot, { recursive: true }) as string[]).filter((path) =>
    lstatSync(join(snapshot, path)).isSymbolicLink(),
  );
  expect(there.sort()).toEqual([...paths].sort());
  for (const path of paths) expect(readFileSync(join(snapshot, path)).equals(files.get(path)!)).toBe(true);
}

export const weights = 'model-00001-of-00002.safetensors';

/** Those of `modelFiles` that a model needs. */
export const needed: readonly string[] = [
  'config.json',
  weights,
  'model-00002-of-00002.safetensors',
  'model.safetensors.index.json',
  'tokenizer.json',
];
