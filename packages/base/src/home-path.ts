import { homedir } from 'node:os';
import { join, relative } from 'node:path';

/** The path with `~` or `~/` at its beginning as the home folder, which a shell expands only where a word begins. */
export function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
}

/** The path with the home folder at its beginning as `~`. */
export function homePath(path: string): string {
  const inside = relative(homedir(), path);
  if (inside === '') return '~';
  return inside.startsWith('..') || inside === path ? path : join('~', inside);
}
