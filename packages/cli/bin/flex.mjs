#!/usr/bin/env node
// Starts src/main.ts. The sources are TypeScript and stay so: tsx loads them here, and recipes too.
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

const { main } = await import('../src/main.ts');
const code = await main(process.argv.slice(2));
// Output to a pipe may still be on its way.
process.stdout.write('', () => process.exit(code));
