import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '@flex/base';

/** The first of `folder`, `folder-2`, `folder-3` … that is not there. */
export function nextFolder(folder: string): string {
  return firstOf(folder, (path) => !existsSync(path));
}

/**
 * Does work in the next folder, which is made for it, and goes if it stays empty. Of several that ask at
 * once, each gets one of its own.
 */
export async function inNextFolder(folder: string, work: (path: string) => Promise<void>): Promise<void> {
  makeFolder(dirname(folder));
  const path = firstOf(folder, isMade);
  try {
    await work(path);
  } finally {
    if (readdirSync(path).length === 0) rmdirSync(path);
  }
}

function firstOf(folder: string, isFree: (path: string) => boolean): string {
  let path = folder;
  for (let n = 2; !isFree(path); n++) path = `${folder}-${n}`;
  return path;
}

/** Makes a folder; false where its name is taken. */
function isMade(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
