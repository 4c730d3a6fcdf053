import { relative, sep } from 'node:path';

/** What is taken of a repository of the Hugging Face hub: a model, an adapter, or rows of data. */
export type HubKind = 'model' | 'adapter' | 'dataset';

/** What a text as `org/name`, `org/name@revision` or, for data, `org/name@revision/file` names. */
export interface HubName {
  readonly kind: HubKind;
  /** `org/name`. */
  readonly repository: string;
  /** A branch, a tag, a commit or a commit's beginning; null for `main`. */
  readonly revision: string | null;
  /** A file or folder of rows in a data set; empty for all of it. */
  readonly inside: string;
}

/** Rows of data, which are files here rather than repositories there. */
const rowFile = /\.(jsonl?|parquet|gz|zst|csv|txt)$/;

/** The name that a text has the form of; null for another text, such as a path. */
export function parseHubName(text: string, kind: HubKind): HubName | null {
  const [, repository, revision, inside = ''] =
    /^(\w[\w.-]*\/\w[\w.-]*)(?:@([^/@\s]+))?(?:\/([^:]+))?$/.exec(text) ?? [];
  if (repository === undefined || repository.includes('--')) return null;
  if (kind === 'dataset' ? rowFile.test(repository) : inside !== '') return null;
  return { kind, repository, revision: revision ?? null, inside };
}

/** `org/name@revision/file`, as `parseHubName` reads it. */
export function hubNameText({ repository, revision, inside }: HubName): string {
  return `${repository}${revision === null ? '' : `@${revision}`}${inside === '' ? '' : `/${inside}`}`;
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
