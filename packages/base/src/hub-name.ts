import { relative, sep } from 'node:path';

/** What is taken of a repository of the Hugging Face hub: a model, an adapter, or rows of data. */
export type HubKind = 'model' | 'adapter' | 'dataset';

/** What a text as `org/name`, `org/name@revision` or, for data, `org/name@revision/file` names. */
export interface HubName {
  readonly kind: HubKind;
  /** `org/name`. */
  readonly repository: string;
  /** A branch, a tag, a commit or a commit's beginning, or a reference as `refs/pr/1`; null for `main`. */
  readonly revision: string | null;
  /** A file or folder of rows in a data set; empty for all of it. */
  readonly inside: string;
}

/** Rows of data, which are files here rather than repositories there. */
const rowFile = /\.(jsonl?|parquet|gz|zst|csv|txt)$/;

/** A repository, and behind it `@revision`, with a file perhaps, or a file. */
const form = /^(\w[\w.-]*\/\w[\w.-]*)(?:@(.+)|\/([^:]+))?$/;

/** References with a slash that stand for themselves where a file may follow, as in Hugging Face's paths. */
const ownReference = /^refs\/(?:pr\/\d+|convert\/\w+)(?=\/|$)/;

/**
 * The name that a text has the form of; null for another text, such as a path. A revision may have slashes;
 * those in a data set's, which a file may follow, are written `%2F` but in `refs/pr/1` and `refs/convert/…`.
 */
export function parseHubName(text: string, kind: HubKind): HubName | null {
  const [, repository, named, file = ''] = form.exec(text) ?? [];
  if (repository === undefined || repository.includes('--')) return null;
  const isData = kind === 'dataset';
  if (isData ? rowFile.test(repository) : file !== '') return null;
  if (named === undefined) return { kind, repository, revision: null, inside: file };
  const [revision] = (isData && (ownReference.exec(named) ?? /^[^/]*/.exec(named))) || [named];
  const inside = named.slice(revision.length + 1);
  const isRevision = /^[^/@\s]+(\/[^/@\s]+)*$/.test(revision);
  if (!isRevision || inside.includes(':')) return null;
  return { kind, repository, revision: revision.replaceAll('%2F', '/'), inside };
}

/** `org/name@revision/file`, as `parseHubName` reads it. */
export function hubNameText({ kind, repository, revision, inside }: HubName): string {
  const isPlain = kind !== 'dataset' || revision?.replace(ownReference, '') === '';
  const at = revision === null ? '' : `@${isPlain ? revision : revision.replaceAll('/', '%2F')}`;
  return `${repository}${at}${inside === '' ? '' : `/${inside}`}`;
}

/** The folder of a repository in the cache, such as `models--org--name`. */
export function repositoryFolder({ kind, repository }: Pick<HubName, 'kind' | 'repository'>): string {
  return `${kind === 'dataset' ? 'datasets' : 'models'}--${repository.replace('/', '--')}`;
}

/** `org/name@commit`, and what lies in it, of a path in a snapshot of the cache; null for another path. */
export function snapshotName(cache: string, path: string): string | null {
  const [folder = '', snapshots, commit, ...inside] = relative(cache, path).split(sep);
  const [, repository] = /^(?:model|dataset)s--(.+)$/.exec(folder) ?? [];
  if (repository === undefined || snapshots !== 'snapshots' || commit === undefined) return null;
  return [`${repository.replace('--', '/')}@${commit}`, ...inside].join('/');
}
