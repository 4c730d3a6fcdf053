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

/**
 * Runs /flex/program.py as the main program, with `exit` and `quit`, which those of contests call. One that
 * returns at its top level was written for a judge that makes a function of it: it becomes one, whose names
 * are global.
 */
export const pythonProgram = `
import site
site.setquit()

def compiled(path):
    text = open(path, 'rb').read()
    try:
        return compile(text, path, 'exec')
    except SyntaxError as error:
        if error.msg != "'return' outside function":
            raise
    import ast, symtable
    def stays_outside(part):
        star = isinstance(part, ast.ImportFrom) and part.names[0].name == '*'
        return star or isinstance(part, ast.ImportFrom) and part.module == '__future__'
    symbols = symtable.symtable(text.decode(), path, 'exec').get_symbols()
    names = [name.get_name() for name in symbols if name.is_assigned() or name.is_imported()]
    parts = ast.parse(text, path).body
    tree = ast.parse('def program(): global program\\nprogram()', path)
    tree.body[0].body[0].names += names
    tree.body[0].body += [part for part in parts if not stays_outside(part)]
    tree.body[:0] = [part for part in parts if stays_outside(part)]
    return compile(ast.fix_missing_locations(tree), path, 'exec')

program = compiled('/flex/program.py')
del site, compiled
exec(program)
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
