#!/usr/bin/env node
// Starts the command line. tsx loads recipes, and in this repository the sources, which stay TypeScript.
import * as nodeModule from 'node:module';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`flex: needs Node 20.19 or newer, and this is ${process.versions.node}`);
  process.exit(2);
}

nodeModule.enableCompileCache?.();
const { register } = await import('tsx/esm/api');
register();
// As tsx does: hooks in this thread where Node has them (22.15), else in the loader's own.
if (nodeModule.registerHooks) nodeModule.registerHooks(await import('./recipe-hooks.mjs'));
else nodeModule.register('./recipe-hooks.mjs', import.meta.url);

const { main, tellFailure } = await import('@flex/cli');
const args = process.argv.slice(2);
// What is thrown in a callback is told as what a command throws.
process.on('uncaughtException', (error) => process.exit(tellFailure(error, args)));
const code = await main(args);
// Output to a pipe may still be on its way, and that it could not be written is told after it is.
process.stdout.write('', () => setImmediate(() => process.exit(code)));
