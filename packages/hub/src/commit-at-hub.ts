import { ConfigError, DataError, type HubListing, type HubName, newListing } from '@flex/base';
import { datasetInfo, listFiles, modelInfo } from '@huggingface/hub';
import type { HubClient } from './hub-client.ts';

/** A repository at one commit. */
export interface HubCommit {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  readonly listing: HubListing;
}

/** Files and folders of a repository at most, and answers that list them. */
const mostEntries = 200_000;
const mostPages = 500;

/**
 * The commit that a name means at the hub, and the files there. Throws what `HubClient.open` throws,
 * ConfigError for a revision that none can be, and DataError for answers of another form, for another commit
 * than the one that was named, and for a listing without an end.
 */
export async function commitAtHub(client: HubClient, name: HubName): Promise<HubCommit> {
  try {
    return await askForCommit(client, name);
  } catch (error) {
    // What the library throws where an answer has not the form that it takes for granted.
    if (!(error instanceof TypeError)) throw error;
    const line = `${client.endpoint}: answers about ${name.repository} in another form than a hub`;
    throw new DataError(line, { cause: error });
  }
}

async function askForCommit(client: HubClient, name: HubName): Promise<HubCommit> {
  const { kind, repository, revision } = name;
  if (revision !== null && !/^\w[\w.+-]*(\/\w[\w.+-]*)*$/.test(revision))
    throw new ConfigError(`${repository}: ${revision} is no branch, tag or commit`);
  const isData = kind === 'dataset';
  const tooLong = () => new DataError(`${client.endpoint}: lists more of ${repository} than there may be`);
  let pages = 0;
  const fetchPage: typeof fetch = (input) => {
    if (++pages > mostPages) throw tooLong();
    return client.fetch(input);
  };
  const options = { hubUrl: client.endpoint, fetch: fetchPage, revision: revision ?? 'main' };
  const about = { ...options, name: repository, additionalFields: ['sha' as const] };
  const { sha: commit } = await (isData ? datasetInfo(about) : modelInfo(about));
  if (!/^[0-9a-f]{40}$/.test(commit))
    throw new DataError(`${client.endpoint}: says no commit of ${repository}`);
  if (/^[0-9a-f]{40}$/.test(revision ?? '') && commit !== revision)
    throw new DataError(`${client.endpoint}: has ${commit} of ${repository} in place of ${revision}`);
  const repo = { type: isData ? ('dataset' as const) : ('model' as const), name: repository };
  const files: [string, object][] = [];
  let entries = 0;
  for await (const entry of listFiles({ ...options, repo, recursive: true, revision: commit })) {
    if (entry.type !== 'directory') {
      const { path, size, oid, lfs, xetHash } = entry;
      const large = lfs && { lfs_sha256: lfs.oid, lfs_size: lfs.size };
      files.push([path, { size, blob_id: oid, ...large, xet_hash: xetHash }]);
    }
    if (++entries > mostEntries) throw tooLong();
  }
  return { commit, listing: newListing(Object.fromEntries(files), `${client.endpoint}: ${repository}`) };
}
