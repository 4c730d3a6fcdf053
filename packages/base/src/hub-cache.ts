import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { ConfigError } from './errors.ts';
import { expandHome, homePath } from './home-path.ts';
import { lackingIn } from './hub-files.ts';
import {
  type HubKind,
  type HubName,
  hubNameText,
  parseHubName,
  repositoryFolder,
  snapshotName,
} from './hub-name.ts';
import { oneLine } from './one-line.ts';

/** A name of the hub whose files are not in Hugging Face's cache, or not all: `wanted` can be downloaded. */
export class NotCachedError extends ConfigError {
  override readonly name = 'NotCachedError';
  readonly wanted: HubName;

  constructor(message: string, wanted: HubName) {
    super(message);
    this.wanted = wanted;
  }
}

/** The NotCachedError that an error is or was caused by; else null. */
export function notCachedOf(error: unknown): NotCachedError | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof NotCachedError) return cause;
  }
  return null;
}

/** Hugging Face's folder: HF_HOME, else huggingface in XDG_CACHE_HOME or ~/.cache. */
export function hubHome({ HF_HOME, XDG_CACHE_HOME }: NodeJS.ProcessEnv = process.env): string {
  if (HF_HOME) return resolve(expandHome(HF_HOME));
  return resolve(expandHome(XDG_CACHE_HOME || '~/.cache'), 'huggingface');
}

/** The folder of Hugging Face's own cache: HF_HUB_CACHE, else hub in its folder. */
export function hubCache(environment: NodeJS.ProcessEnv = process.env): string {
  const { HF_HUB_CACHE } = environment;
  return HF_HUB_CACHE ? resolve(expandHome(HF_HUB_CACHE)) : join(hubHome(environment), 'hub');
}

/** Whether HF_HUB_OFFLINE says that nothing may be downloaded: 1, true, yes or on. */
export function isHubOffline({ HF_HUB_OFFLINE = '' }: NodeJS.ProcessEnv = process.env): boolean {
  return /^(1|true|yes|on)$/i.test(HF_HUB_OFFLINE);
}

/**
 * The snapshot in Hugging Face's cache that a text names, or what lies in it; null for a text that names
 * none. Without a revision it is that of `main`. Nothing is downloaded.
 *
 * Throws NotCachedError, one line that says how to get it, for `org/name` that is not in the cache, not in
 * that revision, or not whole: files that the repository lists and the snapshot has not, shards that an
 * index names, links without a file, downloads that have not ended. What may be a path with a slip, as its
 * first folder is in `here`, is ConfigError, so that nobody asks the hub for it unless told to.
 */
export function hubPath(text: string, kind: HubKind, here = '.'): string | null {
  const name = parseHubName(text, kind);
  if (!name) return null;
  const folder = join(hubCache(), repositoryFolder(name));
  if (!existsSync(folder)) {
    const [first] = text.split('/', 1);
    const isPath = existsSync(join(here, first));
    if (isPath && name.inside !== '' && name.revision === null) return null;
    const where = `is no folder here, and not in Hugging Face's cache (${homePath(hubCache())})`;
    const line = `${text}: ${where}; ${howToGet(name)} gets it`;
    throw isPath ? new ConfigError(line) : new NotCachedError(line, name);
  }
  const commit = commitOf(folder, name);
  const lacking = lackingIn(folder, commit, name);
  if (lacking !== null) {
    throw new NotCachedError(`${text}: is not whole: ${lacking}; ${howToGet(name)} gets the rest`, name);
  }
  return join(folder, 'snapshots', commit, name.inside);
}

/** `org/name@commit`, and what lies in it, of a path in a snapshot of the cache; null for another path. */
export function hubName(path: string): string | null {
  return snapshotName(hubCache(), path);
}

/** The last part of a path; of a snapshot of the cache, that of its repository's name. */
export function lastName(path: string): string {
  return basename((hubName(path) ?? path).replace(/@[0-9a-f]{40}$/, ''));
}

function howToGet(name: HubName): string {
  const command = { model: 'model fetch', adapter: 'model fetch --adapter', dataset: 'data fetch' }[
    name.kind
  ];
  return `${isHubOffline() ? 'without HF_HUB_OFFLINE, ' : ''}flex ${command} ${hubNameText(name)}`;
}

/** The commit that a name means. Throws NotCachedError where the cache has none, ConfigError for several. */
function commitOf(folder: string, name: HubName): string {
  const { repository, revision } = name;
  const list = join(folder, 'snapshots');
  const commits = existsSync(list) ? readdirSync(list).sort() : [];
  const reference = join(folder, 'refs', revision ?? 'main');
  const referred = isFile(reference) ? readFileSync(reference, 'utf8').trim() : null;
  if (referred !== null && commits.includes(referred)) return referred;
  const begun = referred === null && revision ? commits.filter((commit) => commit.startsWith(revision)) : [];
  if (begun.length === 1) return begun[0];
  if (begun.length > 1) {
    throw new ConfigError(
      `${repository}: ${begun.length} commits begin with ${revision}: ${begun.join(', ')}`,
    );
  }
  const has = commits.length > 0 ? `has ${oneLine(commits.join(', '))}` : 'has no snapshot';
  const lacks = `Hugging Face's cache lacks its revision ${revision ?? 'main'} and ${has}`;
  throw new NotCachedError(`${repository}: ${lacks}; ${howToGet(name)} gets it`, name);
}

const isFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
