import { defineLanguage } from '../language.ts';
import { javascript, nodeReads } from './javascript.ts';

export const typescript = defineLanguage({
  ...javascript,
  id: 'ts',
  name: 'TypeScript',
  packages: 'nodejs node-typescript',
  programs: ['node', 'tsc'],
  reads: [...nodeReads, '/usr/share/nodejs/typescript', '/usr/lib/node_modules/typescript'],
  version: () => `tsc --version && node -p '"Node.js " + process.versions.node'`,
  empty: '  throw new Error();\n}\n',
  compiler: {
    files: (text) => ({ '/flex/program.ts': text }),
    // As MultiPL-E does it: type errors count. To skip the checks of the library's own declarations would
    // halve the time, but let pass a `function open`, which is an error next to the one of the browser.
    script: () => 'tsc --target esnext --outDir out /flex/program.ts && mv out/program.js program',
    seconds: 20,
  },
  seal: ({ source, code }, nonce) =>
    javascript.seal({ source, code: `${code}\ndeclare var require: any;` }, nonce),
  examples: new URL('../../fixtures/languages/typescript.txt', import.meta.url),
});
