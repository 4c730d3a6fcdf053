import { relative } from 'node:path';
import { hubName } from '@flex/base';

/** A path as people read it: from the working directory, unless that leads out of it; a hub's by its name. */
export function fromHere(path: string): string {
  const short = relative(process.cwd(), path);
  return hubName(path) ?? (short === '' ? '.' : short.startsWith('..') ? path : short);
}
