import { defineLanguage } from '../language.ts';
import { atEnd } from '../seal.ts';

const options = ['-d', 'display_errors=stderr', '-d', 'log_errors=0', '-d', 'html_errors=0'];
const command = ['/usr/bin/env', 'php', ...options];

export const php = defineLanguage({
  id: 'php',
  name: 'PHP',
  packages: 'php-cli',
  programs: ['php'],
  reads: ['/etc/php', '/usr/lib/php'],
  version: () => `php -r 'echo PHP_VERSION;'`,
  empty: '}\n',
  seal: atEnd((nonce, { code }) => `${/\?>\s*$/.test(code) ? '<?php ' : ''}echo "\\n${nonce}\\n";`),
  sealed: () => ({ command }),
  plain: { path: '/flex/program.php', command: [...command, '/flex/program.php'] },
  signs: {
    unparsable: /^(?:PHP )?(?:Parse error: |Fatal error: +Cannot redeclare )/m,
    assertion: /Test failed!/,
    line: /^.*(?:Fatal|Parse) error: .*$/m,
  },
  examples: new URL('../../fixtures/languages/php.txt', import.meta.url),
});
