import { defineLanguage, unparsableCode } from '../language.ts';
import { atEnd } from '../seal.ts';

/**
 * Python in a box: without site packages, user settings or bytecode files, so that programs see the standard
 * library alone, and with one order of sets in every process, so that they have one verdict.
 */
export const pythonCommand = ['/usr/bin/env', 'PYTHONHASHSEED=0', '/usr/bin/python3', '-s', '-S', '-B'];

/** Reads a whole program from standard input, leaving nothing there, and runs it as the main program. */
const driver = `import site, sys, types
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
const contestDriver = `
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

export const python = defineLanguage({
  id: 'py',
  name: 'Python',
  packages: 'python3',
  programs: ['python3'],
  version: () => `/usr/bin/python3 -I -c 'import platform; print(platform.python_version())'`,
  empty: '    return None\n',
  seal: atEnd((nonce) => `__import__('os').write(1, b'\\n${nonce}\\n')`),
  sealed: () => ({ command: [...pythonCommand, '/flex/driver.py'], files: { '/flex/driver.py': driver } }),
  plain: {
    path: '/flex/program.py',
    command: [...pythonCommand, '-c', contestDriver],
    // Frames name a function after the line; what cannot be compiled has none.
    unparsable: /^ {2}File "\/flex\/program\.py", line \d+\n|^(?:SyntaxError|ValueError): source code/m,
  },
  signs: { unparsable: unparsableCode, assertion: /^AssertionError/m },
  examples: new URL('../../fixtures/languages/python.txt', import.meta.url),
});
