import { defineLanguage } from '../language.ts';
import { atEnd } from '../seal.ts';

/** One order of hashes in every process. */
const command = ['/usr/bin/env', 'PERL_HASH_SEED=0', 'PERL_PERTURB_KEYS=0', 'perl'];

export const perl = defineLanguage({
  id: 'pl',
  name: 'Perl',
  packages: 'perl libtest-deep-perl',
  programs: ['perl'],
  reads: ['/etc/perl', '/usr/share/perl', '/usr/share/perl5/Test/Deep*'],
  version: () => `perl -MTest::Deep -e 'printf("%vd\\nTest::Deep %s\\n", $^V, $Test::Deep::VERSION)'`,
  empty: '}\n',
  seal: atEnd((nonce) => `syswrite(STDOUT, "\\n${nonce}\\n");`),
  sealed: () => ({ command: [...command, '-'] }),
  plain: { path: '/flex/program.pl', command: [...command, '/flex/program.pl'] },
  signs: {
    unparsable:
      /^(?:Execution of \S+ aborted due to|\S+ had) compilation errors|^BEGIN not safe after errors/m,
    assertion: 1,
    line: /^.+ at \S+ line \d+.*$/m,
  },
  examples: new URL('../../fixtures/languages/perl.txt', import.meta.url),
});
