#!/usr/bin/env node
// Starts the command line: in this repository from a bundle of the sources, elsewhere as it is published.
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`flex: needs Node 20.19 or newer, and this is ${process.versions.node}`);
  process.exit(2);
}

nodeModule.enableCompileCache?.();
const args = process.argv.slice(2);
const isRepository = existsSync(new URL('../src/index.ts', import.meta.url));
const entries = isRepository ? await bundled() : null;
const runsSources = isRepository && entries === null;
if (runsSources) await withTypeScript();
else if (args.includes('--verbose')) process.setSourceMapsEnabled(true);

const { main, tellFailure, beforeModules } = await import(entries?.['@flex/cli'] ?? '@flex/cli');
if (!runsSources) beforeModules(withTypeScript);
// What is thrown in a callback is told as what a command throws.
process.on('uncaughtException', (error) => process.exit(tellFailure(error, args)));
const code = await main(args);
// Output to a pipe may still be on its way, and that it could not be written is told after it is.
process.stdout.write('', () => setImmediate(() => process.exit(code)));

/** The bundle's files by what is imported; null where none can be read or written: tsx loads the sources. */
async function bundled() {
  const { bundle } = await import('../../../scripts/bundle.mjs');
  try {
    return await bundle();
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS'].includes(error.code)) return null;
    throw error;
  }
}

/** Lets recipes and parts be TypeScript, and import what this command line is made of. */
async function withTypeScript() {
  const { register } = await import('tsx/esm/api');
  register();
  // As tsx does: hooks in this thread where Node has them (22.15), else in the loader's own.
  if (nodeModule.registerHooks) {
    const { initialize, resolve } = await import('./recipe-hooks.mjs');
    initialize(entries);
    nodeModule.registerHooks({ resolve });
  } else nodeModule.register('./recipe-hooks.mjs', import.meta.url, { data: entries });
}
