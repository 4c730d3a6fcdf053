import { python } from '../python-command.ts';
import { nodeDriver, pythonDriver, pythonProgram, racketDriver, rDriver } from './drivers.ts';
import { type Parts, type Runner, unparsableCode } from './runner.ts';

const env = '/usr/bin/env';

/** A runner whose program ends with one more statement. */
function ending(
  epilogue: (nonce: string, parts: Parts) => string,
  runner: Omit<Runner, 'seal' | 'input'>,
): Runner {
  return {
    ...runner,
    seal: (parts, nonce) => `${parts.source}${parts.code}\n${epilogue(nonce, parts)}\n`,
    input: 'program',
  };
}

const py = ending((nonce) => `__import__('os').write(1, b'\\n${nonce}\\n')`, {
  sealed: () => ({ command: [...python, '/flex/driver.py'], files: { '/flex/driver.py': pythonDriver } }),
  plain: {
    path: '/flex/program.py',
    command: [...python, '-c', pythonProgram],
    // Frames name a function after the line; what cannot be compiled has none.
    unparsable: /^ {2}File "\/flex\/program\.py", line \d+\n|^(?:SyntaxError|ValueError): source code/m,
  },
  signs: { unparsable: unparsableCode, assertion: /^AssertionError/m },
});

export const js = ending((nonce) => `require('node:process').stdout.write('\\n${nonce}\\n');`, {
  sealed: () => ({ command: [env, 'node', '/flex/driver.js'], files: { '/flex/driver.js': nodeDriver } }),
  plain: {
    path: '/flex/program.js',
    command: [env, 'node', '/flex/program.js'],
    unparsable: /^SyntaxError: .*\n {4}at (?:wrapSafe|internalCompileFunction)\b/m,
  },
  reserves: true,
  signs: {
    unparsable: unparsableCode,
    assertion: /^AssertionError/m,
    line: /^[\w.]*Error\b[\s\S]{0,300}?(?=\n {4}at )|^Uncaught\b.*(?:\n.*)?/m,
  },
});

/** One order of hashes in every process. */
const perl = [env, 'PERL_HASH_SEED=0', 'PERL_PERTURB_KEYS=0', 'perl'];

const pl = ending((nonce) => `syswrite(STDOUT, "\\n${nonce}\\n");`, {
  sealed: () => ({ command: [...perl, '-'] }),
  plain: { path: '/flex/program.pl', command: [...perl, '/flex/program.pl'] },
  signs: {
    unparsable:
      /^(?:Execution of \S+ aborted due to|\S+ had) compilation errors|^BEGIN not safe after errors/m,
    assertion: 1,
    line: /^.+ at \S+ line \d+.*$/m,
  },
});

/** Test::Unit runs its tests when the program exits; here it runs them before. */
const runTestUnit =
  'if defined?(Test::Unit) then Test::Unit::AutoRunner.need_auto_run = false; ' +
  'exit(1) unless Test::Unit::AutoRunner.run; end';

const rb = ending((nonce) => `${runTestUnit}\nSTDOUT.write("\\n${nonce}\\n")`, {
  sealed: () => ({ command: [env, 'ruby', '-'] }),
  plain: { path: '/flex/program.rb', command: [env, 'ruby', '/flex/program.rb'] },
  signs: {
    unparsable: /^(?:\S+: )?\S+:\d+: syntax errors?\b/m,
    assertion: /^Failure: /m,
    line: /^<.*> .*(?:\n<.*)?|^Error: .*\n.*|^-:\d+(?::in .*)?: .*$/m,
  },
});

const phpOptions = ['-d', 'display_errors=stderr', '-d', 'log_errors=0', '-d', 'html_errors=0'];

const php = ending((nonce, { code }) => `${/\?>\s*$/.test(code) ? '<?php ' : ''}echo "\\n${nonce}\\n";`, {
  sealed: () => ({ command: [env, 'php', ...phpOptions] }),
  plain: { path: '/flex/program.php', command: [env, 'php', ...phpOptions, '/flex/program.php'] },
  signs: {
    unparsable: /^(?:PHP )?(?:Parse error: |Fatal error: +Cannot redeclare )/m,
    assertion: /Test failed!/,
    line: /^.*(?:Fatal|Parse) error: .*$/m,
  },
});

const luaEnd = /os\.exit\(\s*lu\.LuaUnit\.run\(\)\s*\)\s*$/;

const lua: Runner = {
  seal({ source, code }, nonce) {
    const print = `io.stdout:write("\\n${nonce}\\n")`;
    const text = source + code;
    if (!luaEnd.test(text)) return `${text}\n${print}\n`;
    const run = 'local flex_failed = lu.LuaUnit.run()';
    return text.replace(luaEnd, () => `${run} if flex_failed == 0 then ${print} end os.exit(flex_failed)\n`);
  },
  input: 'program',
  sealed: () => ({ command: [env, 'lua5.4', '-'] }),
  plain: { path: '/flex/program.lua', command: [env, 'lua5.4', '/flex/program.lua'] },
  signs: {
    unparsable: /^lua\S*: \S+:\d+: .* near /m,
    assertion: /, [1-9]\d* failures?/,
    line: /^(?:stdin:\d+: |lua\S*: ).*(?:\n(?!stack).*)?/m,
  },
};

/** The exit code is that of the program's last command, as it was without the epilogue. */
const sh = ending((nonce) => `(exit $?) && builtin printf '\\n%s\\n' '${nonce}'`, {
  // The text is in no file, no variable and no argument, and nothing of it is left on standard input.
  sealed: () => ({ command: [env, 'bash', '-c', 'eval "$(cat)"'] }),
  plain: { path: '/flex/program.sh', command: [env, 'bash', '/flex/program.sh'] },
  signs: { unparsable: /: (?:syntax error|unexpected EOF)/, assertion: 1 },
});

const r = ending((nonce) => `base::cat("\\n${nonce}\\n")`, {
  sealed: () => ({ command: [env, 'Rscript', '/flex/driver.R'], files: { '/flex/driver.R': rDriver } }),
  plain: { path: '/flex/program.R', command: [env, 'Rscript', '/flex/program.R'] },
  signs: {
    unparsable: unparsableCode,
    assertion: /\b(?:is|are) not (?:all )?TRUE\b/,
    line: /^Error\b.*(?:\n(?!Calls|Execution).*)?|^<text>:.*$/m,
  },
});

/** A check of rackunit that fails is only counted; names are prefixed, as programs may define any. */
const racketEpilogue = (nonce: string) => `
(require (prefix-in flex: racket/base) (prefix-in flex: rackunit/log))
(flex:unless (flex:zero? (flex:car (flex:test-log))) (flex:exit 1))
(flex:printf "\\n~a\\n" "${nonce}")`;

const rkt = ending(racketEpilogue, {
  sealed: () => ({
    command: [env, 'racket', '/flex/driver.rkt'],
    files: { '/flex/driver.rkt': racketDriver },
  }),
  plain: { path: '/flex/program.rkt', command: [env, 'racket', '/flex/program.rkt'] },
  signs: {
    unparsable: unparsableCode,
    assertion: /^FAILURE$/m,
    line: /^(?!-|FAILURE|ERROR|name:|location:|\s).+(?:\nexpected: .*)?/m,
  },
});

/** Languages whose interpreter reads a whole program from standard input before it runs any of it. */
export const interpreted = { py, js, pl, rb, php, lua, sh, r, rkt };
