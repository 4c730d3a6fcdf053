import { defineLanguage } from '../language.ts';
import { atEnd } from '../seal.ts';

/** Test::Unit runs its tests when the program exits; here it runs them before. */
const runTestUnit =
  'if defined?(Test::Unit) then Test::Unit::AutoRunner.need_auto_run = false; ' +
  'exit(1) unless Test::Unit::AutoRunner.run; end';

export const ruby = defineLanguage({
  id: 'rb',
  name: 'Ruby',
  packages: 'ruby ruby-test-unit',
  programs: ['ruby'],
  reads: ['/usr/lib/ruby', '/usr/share/rubygems-integration/all'],
  version: () =>
    `ruby -e 'require "test/unit/version"; puts RUBY_VERSION, "test-unit " + Test::Unit::VERSION'`,
  empty: 'end\n',
  seal: atEnd((nonce) => `${runTestUnit}\nSTDOUT.write("\\n${nonce}\\n")`),
  sealed: () => ({ command: ['/usr/bin/env', 'ruby', '-'] }),
  plain: { path: '/flex/program.rb', command: ['/usr/bin/env', 'ruby', '/flex/program.rb'] },
  signs: {
    unparsable: /^(?:\S+: )?\S+:\d+: syntax errors?\b/m,
    assertion: /^Failure: /m,
    line: /^<.*> .*(?:\n<.*)?|^Error: .*\n.*|^-:\d+(?::in .*)?: .*$/m,
  },
  examples: new URL('../../fixtures/languages/ruby.txt', import.meta.url),
});
