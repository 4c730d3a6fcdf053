import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { temporaryFile } from '@flex/base/testing';

const zod = join(dirname(createRequire(import.meta.url).resolve('zod')), 'index.js');

/** The path of a module `mine.mjs`, far from the workspace, whose default export is the text; `z` is zod's. */
export function partModule(text: string): string {
  return temporaryFile('mine.mjs', `import { z } from '${pathToFileURL(zod)}';\nexport default ${text};\n`);
}
