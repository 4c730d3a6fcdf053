import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ConfigError } from './errors.ts';

/**
 * Makes a folder for results, with those above it, unless it is there. Throws ConfigError where it cannot be
 * made or written to.
 */
export function makeFolder(path: string): void {
  const missing: string[] = [];
  let above = resolve(path);
  for (; !existsSync(above); above = dirname(above)) missing.unshift(above);
  if (!statSync(above).isDirectory()) throw new ConfigError(`${path}: ${above} is a file, and no folder`);
  try {
    // One by one: on some file systems Node's recursive mkdir never ends.
    for (const folder of missing) mkdirSync(folder);
    accessSync(path, constants.W_OK);
  } catch (error) {
    throw new ConfigError(`${path}: cannot be a folder of results: ${(error as Error).message}`);
  }
}
