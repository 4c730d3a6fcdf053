import { defineLanguage, executable } from '../language.ts';
import { inMain } from '../seal.ts';

/** What GCC reads, and those who link by it. */
export const gccReads = ['/usr/include', '/usr/lib/gcc', '/usr/libexec/gcc', '/usr/lib/bfd-plugins'];

const sealMain = inMain({
  head: /\bmain\s*\([^)]{0,99}\)\s*\{/g,
  tail: /(?:return\s+0\s*;\s*)?\}\s*$/,
  first: 'char flex_nonce[64] = ""; std::fgets(flex_nonce, 64, stdin);',
  last: 'std::fputs("\\n", stdout); std::fputs(flex_nonce, stdout);',
});

export const cpp = defineLanguage({
  id: 'cpp',
  name: 'C++',
  packages: 'g++',
  programs: ['g++'],
  reads: gccReads,
  version: () => 'g++ -dumpfullversion',
  empty: '    throw 0;',
  compiler: {
    files: (text) => ({ '/flex/program.cpp': text }),
    script: () => 'g++ -std=c++17 /flex/program.cpp -o program',
    seconds: 20,
  },
  seal: (parts, nonce) => `#include <cstdio>\n#line 1\n${sealMain(parts, nonce)}`,
  readsNonce: true,
  sealed: () => executable,
  plain: executable,
  signs: { assertion: /: Assertion `/ },
  examples: new URL('../../fixtures/languages/cpp.txt', import.meta.url),
});
