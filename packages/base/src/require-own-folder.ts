import { existsSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { ConfigError } from './errors.ts';

/** What is read for results: a file, or a folder. */
export interface InputPath {
  /** Whose it is: `the model`. */
  readonly of: string;
  readonly path: string;
}

/**
 * Throws ConfigError, which begins with the option, unless `out` is a folder of its own for results: not the
 * file system's root, the working directory, the home folder, an input's folder (that of a file is the one it
 * lies in) or one that holds any of these, nor in a folder that is an input. Links are followed.
 */
export function requireOwnFolder(option: string, out: string, inputs: readonly InputPath[] = []): void {
  if (out.trim() === '') throw new ConfigError(`${option}: is empty; name a folder`);
  const path = realPath(out);
  const refuse = (is: string) => {
    throw new ConfigError(`${option}: ${out} ${is}; take a folder of its own`);
  };
  if (path === dirname(path)) refuse("is the file system's root");
  const known = [
    { of: 'the working directory', folder: realPath('.'), isWhole: false },
    ...homes().map((folder) => ({ of: 'the home folder', folder, isWhole: false })),
    ...inputs.map(({ of, path: input }) => {
      const isFile = statSync(input, { throwIfNoEntry: false })?.isFile() ?? false;
      const folder = realPath(isFile ? dirname(realPath(input)) : input);
      return { of: `the folder of ${of}`, folder, isWhole: !isFile };
    }),
  ];
  for (const { of, folder, isWhole } of known) {
    if (folder === path) refuse(`is ${of}`);
    if (isWithin(folder, path)) refuse(`holds ${of}, ${folder}`);
    if (isWhole && isWithin(path, folder)) refuse(`lies in ${of}, ${folder}`);
  }
}

/** The user's home folder; none for a user whom the system does not know, as in some containers. */
function homes(): string[] {
  try {
    return [realPath(homedir())];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SYSTEM_ERROR') return [];
    throw error;
  }
}

/** The absolute path without links; of what is not there, as it would be. */
function realPath(path: string): string {
  const absolute = resolve(path);
  if (existsSync(absolute)) return realpathSync.native(absolute);
  return join(realPath(dirname(absolute)), basename(absolute));
}

function isWithin(path: string, outer: string): boolean {
  const way = relative(outer, path);
  // On Windows the way to another drive is absolute.
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
