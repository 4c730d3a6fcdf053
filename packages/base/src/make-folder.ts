import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ConfigError } from './errors.ts';

/**
 * Makes a folder for results, with those above it, unless it is there; gives the folders that were made,
 * innermost first. Others may make or remove folders at the same time. Throws ConfigError where it cannot be
 * made or written to.
 */
export function makeFolder(path: string): string[] {
  const made: string[] = [];
  for (;;) {
    const missing: string[] = [];
    let above = resolve(path);
    for (; !existsSync(above); above = dirname(above)) missing.unshift(above);
    if (!statSync(above).isDirectory()) {
      const what = missing.length > 0 ? `${above} is` : 'is';
      throw new ConfigError(`${path}: ${what} a file, and no folder`);
    }
    try {
      // One by one: on some file systems Node's recursive mkdir never ends.
      for (const folder of missing) if (makeOne(folder)) made.unshift(folder);
      accessSync(path, constants.W_OK);
      return made;
    } catch (error) {
      const wasRemoved = (error as NodeJS.ErrnoException).code === 'ENOENT' && !existsSync(above);
      if (wasRemoved) continue;
      const { message } = error as Error;
      throw new ConfigError(`${path}: cannot be a folder of results: ${message}`, { cause: error });
    }
  }
}

/** Makes a folder in one that is there; false where somebody else was first. */
function makeOne(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
