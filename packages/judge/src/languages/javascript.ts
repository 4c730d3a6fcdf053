import { defineLanguage, unparsableCode } from '../language.ts';
import { atEnd } from '../seal.ts';

/** Reads a whole program from standard input, leaving nothing there, and runs it as the main program. */
const driver = `'use strict';
const Module = require('node:module');
const { compileFunction } = require('node:vm');
const text = require('node:fs').readFileSync(0, 'utf8');
const filename = '/tmp/program.js';
try {
  compileFunction(text, ['exports', 'require', 'module', '__filename', '__dirname'], { filename });
} catch (error) {
  process.stderr.write(error.stack + '\\n');
  process.exit(${unparsableCode});
}
const main = new Module(filename, null);
Object.assign(main, { id: '.', filename, paths: [] });
process.mainModule = main;
main._compile(text, filename);
`;

/** What Debian's Node.js reads; others have it built in. */
export const nodeReads = ['acorn', 'acorn-walk', 'amaro', 'cjs-module-lexer', 'minimatch', 'undici'].map(
  (name) => `/usr/share/nodejs/${name}`,
);

export const javascript = defineLanguage({
  id: 'js',
  name: 'JavaScript',
  packages: 'nodejs',
  programs: ['node'],
  reads: nodeReads,
  version: () => `node -p '"Node.js " + process.versions.node'`,
  reserves: true,
  empty: '}\n',
  seal: atEnd((nonce) => `require('node:process').stdout.write('\\n${nonce}\\n');`),
  sealed: () => ({
    command: ['/usr/bin/env', 'node', '/flex/driver.js'],
    files: { '/flex/driver.js': driver },
  }),
  plain: {
    path: '/flex/program.js',
    command: ['/usr/bin/env', 'node', '/flex/program.js'],
    unparsable: /^SyntaxError: .*\n {4}at (?:wrapSafe|internalCompileFunction)\b/m,
  },
  signs: {
    unparsable: unparsableCode,
    assertion: /^AssertionError/m,
    line: /^[\w.]*Error\b[\s\S]{0,300}?(?=\n {4}at )|^Uncaught\b.*(?:\n.*)?/m,
  },
  examples: new URL('../../fixtures/languages/javascript.txt', import.meta.url),
});
