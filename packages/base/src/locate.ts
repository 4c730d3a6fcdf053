import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { ConfigError } from './errors.ts';
import { expandHome } from './home-path.ts';
import { hubPath } from './hub-cache.ts';

/** What a path leads to, which says where it is looked up. */
export type PathKind = 'model' | 'adapter' | 'dataset' | 'file' | 'output';

/** The schema of an option that is a path. Where a configuration is loaded, it becomes absolute. */
export const pathTo = (kind: PathKind) => z.string().min(1).meta({ path: kind });

/**
 * Where the thing lies that a text names: a path, from `folder` if it is relative, with `~` for the home
 * folder. What is not there and has the form of a hub's name, `org/name` or `org/name@revision`, is looked
 * up in Hugging Face's cache for a model, an adapter and data. The folder of a run stands for the adapter
 * in it.
 *
 * Throws NotCachedError, one line, for a hub's name that the cache has not or not whole, and ConfigError
 * where the folder of a run is an adapter itself.
 */
export function locate(text: string, kind: PathKind, folder = '.'): string {
  const expanded = expandHome(text);
  const path = isAbsolute(expanded) ? expanded : join(folder, expanded);
  if (kind === 'file' || kind === 'output') return path;
  const found = existsSync(path) ? path : (hubPath(text, kind, folder) ?? path);
  return kind === 'adapter' ? adapterIn(found) : found;
}

/** The adapter of a run's folder; another folder as it is. */
function adapterIn(folder: string): string {
  const inner = join(folder, 'adapter');
  const isAdapter = (path: string) => existsSync(join(path, 'adapter_config.json'));
  if (!isAdapter(inner)) return folder;
  if (!isAdapter(folder)) return inner;
  throw new ConfigError(
    `${folder}: is an adapter and holds one in ${inner}; name that one, or move one of them`,
  );
}
