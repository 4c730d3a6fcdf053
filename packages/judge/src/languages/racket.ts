import { defineLanguage, unparsableCode } from '../language.ts';
import { atEnd } from '../seal.ts';

/** Reads a whole program from standard input, leaving nothing there, and runs it as the main program. */
const driver = `(module driver '#%kernel
  (read-accept-reader #t)
  (read-accept-lang #t)
  (port-count-lines! (current-input-port))
  (namespace-require ''#%kernel)
  (current-module-declare-name (make-resolved-module-path 'program))
  (define-values (uncaught) (uncaught-exception-handler))
  (uncaught-exception-handler
    (lambda (e)
      ((error-display-handler) (if (exn? e) (exn-message e) "not an error") e)
      (exit ${unparsableCode})))
  (eval (namespace-syntax-introduce (read-syntax "program.rkt" (current-input-port))))
  (uncaught-exception-handler uncaught)
  (current-module-declare-name #f)
  (dynamic-require ''program #f))
`;

/** A check of rackunit that fails is only counted; names are prefixed, as programs may define any. */
const epilogue = (nonce: string) => `
(require (prefix-in flex: racket/base) (prefix-in flex: rackunit/log))
(flex:unless (flex:zero? (flex:car (flex:test-log))) (flex:exit 1))
(flex:printf "\\n~a\\n" "${nonce}")`;

export const racket = defineLanguage({
  id: 'rkt',
  name: 'Racket',
  packages: 'racket',
  programs: ['racket'],
  reads: ['/etc/racket', '/usr/lib/racket', '/usr/share/racket'],
  version: () => `racket -l racket/base -l rackunit -e '(display (version))'`,
  empty: '  (void))\n',
  seal: atEnd(epilogue),
  sealed: () => ({
    command: ['/usr/bin/env', 'racket', '/flex/driver.rkt'],
    files: { '/flex/driver.rkt': driver },
  }),
  plain: {
    path: '/flex/program.rkt',
    command: ['/usr/bin/env', 'racket', '/flex/program.rkt'],
    // Only what cannot be read or compiled is told with its place first.
    unparsable: /^\S*program\.rkt:\d+:\d+: /m,
  },
  signs: {
    unparsable: unparsableCode,
    assertion: /^FAILURE$/m,
    line: /^(?!-|FAILURE|ERROR|name:|location:|\s).+(?:\nexpected: .*)?/m,
  },
  examples: new URL('../../fixtures/languages/racket.txt', import.meta.url),
});
