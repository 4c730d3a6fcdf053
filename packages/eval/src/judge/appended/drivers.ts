import { unparsableCode } from './runner.ts';

// Each reads a whole program from standard input, leaving nothing there, and runs it as the main program.
// None keeps the text where the program could look it up by name.

export const pythonDriver = `import site, sys, types
site.setquit()

def load():
    try:
        return compile(sys.stdin.buffer.read(), "program.py", "exec", dont_inherit=True)
    except Exception as error:
        sys.excepthook(type(error), error, None)
        sys.exit(${unparsableCode})

main = sys.modules["__main__"] = types.ModuleType("__main__")
exec(load(), main.__dict__)
`;

export const nodeDriver = `'use strict';
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

export const rDriver = `local({
  input <- file("stdin")
  text <- readLines(input, warn = FALSE, encoding = "UTF-8")
  close(input)
  program <- tryCatch(parse(text = text, keep.source = FALSE, encoding = "UTF-8"), error = function(e) {
    message(conditionMessage(e))
    quit(status = ${unparsableCode})
  })
  rm(text)
  for (expression in program) eval(expression, globalenv())
})
`;

export const racketDriver = `(module driver '#%kernel
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
