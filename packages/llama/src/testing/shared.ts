import { existsSync } from 'node:fs';
import { join } from 'node:path';

const sharedRoot = join(import.meta.dirname, '../../../../../shared');

/** The path of a file or folder in `shared`, which lies beside the repository and may be absent. */
export function shared(path: string): string {
  return join(sharedRoot, path);
}

/** For `describe.skipIf`: the tests inside need a part of `shared` that is not there. */
export function isMissing(path: string): boolean {
  return !existsSync(shared(path));
}
