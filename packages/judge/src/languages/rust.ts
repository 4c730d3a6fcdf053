import { defineLanguage, executable } from '../language.ts';
import { inMain } from '../seal.ts';
import { gccReads } from './cpp.ts';

export const rust = defineLanguage({
  id: 'rs',
  name: 'Rust',
  packages: 'rustc',
  programs: ['rustc', 'cc'],
  reads: [...gccReads, '/usr/lib/rustlib', '/usr/lib/rust-*'],
  version: () => 'rustc --version',
  empty: '    unimplemented!()',
  compiler: {
    files: (text) => ({ '/flex/program.rs': text }),
    script: () => 'rustc -C link-arg=-s /flex/program.rs -o program',
    seconds: 20,
  },
  seal: inMain({
    head: /\bfn\s+main\s*\(\s*\)\s*\{/g,
    tail: /\}\s*$/,
    first:
      'let mut flex_nonce = ::std::string::String::new(); ' +
      '::std::io::stdin().read_line(&mut flex_nonce).unwrap();',
    last:
      'let flex_line = ["\\n", &flex_nonce].concat(); ' +
      '::std::io::Write::write_all(&mut ::std::io::stdout(), flex_line.as_bytes()).unwrap();',
  }),
  readsNonce: true,
  sealed: () => executable,
  plain: executable,
  signs: {
    assertion: /^thread .{0,300}panicked at (?:'|.{0,300}\n)assertion/m,
    line: /panicked at .*(?:\n(?!note|stack).*)?/,
  },
  examples: new URL('../../fixtures/languages/rust.txt', import.meta.url),
});
