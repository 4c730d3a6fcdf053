import type { Language } from '../../language.ts';

/** What the body of a function that is to give twice its argument plus one can do. */
export interface Bodies {
  readonly right: string;
  readonly wrong: string;
  /** Raises, or panics. */
  readonly raises: string;
  readonly loops: string;
  /** Does not parse or compile. */
  readonly broken: string;
  /** Prints each nonce it can find, then ends the process with exit code 0. */
  readonly exits: string;
}

export interface Examples {
  /** The source with this body, as far as the tests leave it open. */
  source(body: string): string;
  /** In the shape that MultiPL-E gives them. */
  readonly tests: string;
  readonly bodies: Bodies;
}

/** Shell commands that print, a line each, what looks like a nonce and can be read without a debugger. */
const snoop =
  'echo; { cat; cd /proc/$PPID; cat cmdline environ /flex/* /tmp/*; head -c 9999999 exe; env; }' +
  ' 2>/dev/null | grep -aoE [0-9a-f]{32} || true';

const node = {
  right: 'return 2 * x + 1;',
  wrong: 'return 2 * x;',
  raises: 'throw new TypeError("no");',
  loops: 'for (;;);',
  broken: 'return 2 * ;',
};
const nodeTests = `
const assert = require('node:assert');
function test() {
  let candidate = f;
  assert.deepEqual(candidate(1), 3);
  assert.deepEqual(candidate(5), 11);
}
test();`;

export const examplePrograms: Readonly<Record<Language, Examples>> = {
  py: {
    source: (body) => `def f(x):\n    ${body}\n`,
    tests: '\nassert f(1) == 3\nassert f(5) == 11\n',
    bodies: {
      right: 'return 2 * x + 1',
      wrong: 'return 2 * x',
      raises: 'return x.upper()',
      loops: 'while True: pass',
      broken: 'return 2 *',
      exits: `import os; os.system('${snoop}'); os._exit(0)`,
    },
  },
  js: {
    source: (body) => `function f(x) {\n  ${body}\n}\n`,
    tests: nodeTests,
    bodies: {
      ...node,
      exits: `require('node:child_process').execSync('${snoop}', { stdio: 'inherit' }); process.exit(0);`,
    },
  },
  ts: {
    source: (body) => `function f(x: number): number {\n  ${body}\n}\ndeclare var process: any;\n`,
    tests: `\ndeclare var require: any;${nodeTests}`,
    bodies: {
      ...node,
      broken: 'return "a type error";',
      exits: `eval('require')('node:child_process').execSync('${snoop}', { stdio: 'inherit' });
  process.exit(0);
  return 0;`,
    },
  },
  cpp: {
    source: (body) => `#include <cassert>\n#include <cstdlib>\nlong f(long x) {\n    ${body}\n`,
    tests: `}
int main() {
    auto candidate = f;
    assert(candidate(1) == 3);
    assert(candidate(5) == 11);
}
`,
    bodies: {
      right: 'return 2 * x + 1;',
      wrong: 'return 2 * x;',
      raises: 'throw x;',
      loops: 'for (;;) x++;',
      broken: 'return 2 * y;',
      exits: `std::system("${snoop}"); std::_Exit(0);`,
    },
  },
  rs: {
    source: (body) => `fn f(x: isize) -> isize {\n    ${body}\n`,
    tests: `}
fn main() {
    let candidate = f;
    assert_eq!(candidate(1), 3);
    assert_eq!(candidate(5), 11);
}
`,
    bodies: {
      right: '2 * x + 1',
      wrong: '2 * x',
      raises: 'panic!("no")',
      loops: 'loop {}',
      broken: '2 * y',
      exits: `std::process::Command::new("sh").args(&["-c", "${snoop}"]).status().ok();
    std::process::exit(0)`,
    },
  },
  go: {
    source: (body) =>
      `package f_test

import (
    "os"
    "os/exec"
    "testing"
)

var _, _ = os.Exit, exec.Command

func f(x int) int {
    ${body}
}
`,
    tests: '\nfunc TestF(t *testing.T) {\n  if f(1) != 3 || f(5) != 11 { t.Errorf("wrong") }\n}\n',
    bodies: {
      right: 'return 2 * x + 1',
      wrong: 'return 2 * x',
      raises: 'panic("no")',
      loops: 'for {}',
      broken: 'return 2 * y',
      exits: `c := exec.Command("sh", "-c", "${snoop}")
    c.Stdin, c.Stdout = os.Stdin, os.Stdout
    c.Run()
    os.Exit(0)
    return 0`,
    },
  },
  java: {
    source: (body) =>
      `class Problem {\n    public static long f(long x) throws Exception {\n        ${body}\n`,
    tests: `    }
    public static void main(String[] args) throws Exception {
    assert(f(1) == 3);
    assert(f(5) == 11);
    }

}
`,
    bodies: {
      right: 'return 2 * x + 1;',
      wrong: 'return 2 * x;',
      raises: 'throw new IllegalStateException("no");',
      loops: 'while (true);',
      broken: 'return 2 * y;',
      exits: `new ProcessBuilder("sh", "-c", "${snoop}").inheritIO().start().waitFor();
        Runtime.getRuntime().halt(0);
        return 0;`,
    },
  },
  pl: {
    source: (body) => `sub f {\n    my($x) = @_;\n    ${body}\n}\n`,
    tests: `
use Test::Deep;
sub testhumaneval {
    my $candidate = \\&f;
        if(eq_deeply($candidate->(1),3)) {
        print "ok!" }else{
        exit 1;
        }
        if(eq_deeply($candidate->(5),11)) {
        print "ok!" }else{
        exit 1;
        }
}
testhumaneval();`,
    bodies: {
      right: 'return 2 * $x + 1;',
      wrong: 'return 2 * $x;',
      raises: 'die "no";',
      loops: '1 while 1;',
      broken: 'return 2 * ;',
      exits: `system('${snoop}'); exit 0;`,
    },
  },
  rb: {
    source: (body) => `def f(x)\n  ${body}\nend\n`,
    tests: `
require 'test/unit'
class TestHumanEval < Test::Unit::TestCase
  def test_f
    candidate = method(:f)
    assert_equal(3, candidate.call(1))
    assert_equal(11, candidate.call(5))
  end
end
`,
    bodies: {
      right: '2 * x + 1',
      wrong: '2 * x',
      raises: 'raise "no"',
      loops: 'loop {}',
      broken: '2 *',
      exits: `system('${snoop}'); exit!(0)`,
    },
  },
  php: {
    source: (body) => `<?php\nfunction f($x) {\n  ${body}\n}\n`,
    tests: `
function candidate(...$args) {
    return f(...$args);
}
function test(): void {
    if (candidate(1) !== 3) { throw new Exception("Test failed!"); }
    if (candidate(5) !== 11) { throw new Exception("Test failed!"); }
}
test();`,
    bodies: {
      right: 'return 2 * $x + 1;',
      wrong: 'return 2 * $x;',
      raises: 'throw new Exception("no");',
      loops: 'for (;;);',
      broken: 'return 2 * ;',
      exits: `passthru('${snoop}'); exit(0);`,
    },
  },
  lua: {
    source: (body) => `local function f(x)\n  ${body}\nend\n`,
    tests: `
lu = require('luaunit')
function test_humaneval()
local candidate = f
    lu.assertEquals(candidate(1), 3)
    lu.assertEquals(candidate(5), 11)
end
os.exit(lu.LuaUnit.run())`,
    bodies: {
      right: 'return 2 * x + 1',
      wrong: 'return 2 * x',
      raises: 'error("no")',
      loops: 'while true do end',
      broken: 'return 2 *',
      exits: `return 0 end os.execute('${snoop}') os.exit(0) local function g()`,
    },
  },
  sh: {
    source: (body) => `#!/bin/bash\nf() {\n    ${body}\n`,
    tests: `}
candidate() {
    f "$@"
}
set -e
run_test() {
    [[ $(candidate "1") = "3" ]]
    [[ $(candidate "5") = "11" ]]
}
run_test`,
    bodies: {
      right: 'echo $(( 2 * $1 + 1 ))',
      wrong: 'echo $(( 2 * $1 ))',
      raises: 'echo\n}\nexit 3\ng() {',
      loops: 'while true; do :; done',
      broken: 'echo $(( 2 *',
      exits: `echo\n}\nbash -c '${snoop}'; exit 0\ng() {`,
    },
  },
  r: {
    source: (body) => `f <- function(x) {\n  ${body}\n}\n`,
    tests: `
test_humaneval <- function() {
    candidate <- f
    stopifnot(isTRUE(all.equal(candidate(1), 3)))
    stopifnot(isTRUE(all.equal(candidate(5), 11)))
}
test_humaneval()`,
    bodies: {
      right: '2 * x + 1',
      wrong: '2 * x',
      raises: 'stop("no")',
      loops: 'repeat {}',
      broken: '2 *',
      exits: `system('${snoop}'); quit(status = 0)`,
    },
  },
  rkt: {
    source: (body) => `#lang racket\n(define (f x)\n  ${body})\n`,
    tests: `
(require rackunit)
(define (test-humaneval)
  (let (( candidate f))
    (check-within (candidate 1) 3 0.001)
    (check-within (candidate 5) 11 0.001)
))
(test-humaneval)`,
    bodies: {
      right: '(+ (* 2 x) 1)',
      wrong: '(* 2 x)',
      raises: '(error "no")',
      loops: '(f x)',
      broken: '(* 2 y)',
      exits: `(system "${snoop}") (exit 0)`,
    },
  },
};
