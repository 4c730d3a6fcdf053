import { defineLanguage } from '../language.ts';
import { atEnd } from '../seal.ts';

export const bash = defineLanguage({
  id: 'sh',
  name: 'Bash',
  packages: 'bash',
  programs: ['bash'],
  // Programs of the shell are programs of its tools.
  version: () => `bash -c 'echo "$BASH_VERSION"'
      for tool in sort sed; do $tool --version | head -n 1; done
      awk -W version 2>&1 | head -n 1; bc --version 2> /dev/null | head -n 1`,
  empty: '    :',
  // The exit code is that of the program's last command, as it was without this one.
  seal: atEnd((nonce) => `(exit $?) && builtin printf '\\n%s\\n' '${nonce}'`),
  // The text is in no file, no variable and no argument, and nothing of it is left on standard input.
  sealed: () => ({ command: ['/usr/bin/env', 'bash', '-c', 'eval "$(cat)"'] }),
  plain: { path: '/flex/program.sh', command: ['/usr/bin/env', 'bash', '/flex/program.sh'] },
  signs: { unparsable: /: (?:syntax error|unexpected EOF)/, assertion: 1 },
  examples: new URL('../../fixtures/languages/bash.txt', import.meta.url),
});
