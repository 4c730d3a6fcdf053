import { DataError } from '../../errors.ts';
import { findJavaHome } from '../java/java-home.ts';
import { inMain } from './in-main.ts';
import { js } from './interpreted.ts';
import type { Runner } from './runner.ts';

/** A copy, as the box's files cannot be executed. */
const execute = ['/bin/sh', '-c', 'cp /flex/program . && chmod 500 program && exec ./program'];
const executable = { path: '/flex/program', command: execute };

const cpp: Runner = {
  compiler: {
    files: (text) => ({ '/flex/program.cpp': text }),
    script: () => 'g++ -std=c++17 /flex/program.cpp -o program',
    seconds: 20,
  },
  seal(parts) {
    const first = 'char flex_nonce[64] = ""; std::fgets(flex_nonce, 64, stdin);';
    const last = 'std::fputs("\\n", stdout); std::fputs(flex_nonce, stdout);';
    const shape = { head: /\bmain\s*\([^)]{0,99}\)\s*\{/g, tail: /(?:return\s+0\s*;\s*)?\}\s*$/ };
    return `#include <cstdio>\n#line 1\n${inMain(parts, { ...shape, first, last })}`;
  },
  input: 'nonce',
  sealed: () => ({ command: execute }),
  plain: executable,
  signs: { assertion: /: Assertion `/ },
};

const rs: Runner = {
  compiler: {
    files: (text) => ({ '/flex/program.rs': text }),
    script: () => 'rustc -C link-arg=-s /flex/program.rs -o program',
    seconds: 20,
  },
  seal: (parts) =>
    inMain(parts, {
      head: /\bfn\s+main\s*\(\s*\)\s*\{/g,
      tail: /\}\s*$/,
      first:
        'let mut flex_nonce = ::std::string::String::new(); ' +
        '::std::io::stdin().read_line(&mut flex_nonce).unwrap();',
      last:
        'let flex_line = ["\\n", &flex_nonce].concat(); ' +
        '::std::io::Write::write_all(&mut ::std::io::stdout(), flex_line.as_bytes()).unwrap();',
    }),
  input: 'nonce',
  sealed: () => ({ command: execute }),
  plain: executable,
  signs: {
    assertion: /^thread .{0,300}panicked at (?:'|.{0,300}\n)assertion/m,
    line: /panicked at .*(?:\n(?!note|stack).*)?/,
  },
};

/** Package testing calls this in place of running the tests, and leaves it to say how the program ends. */
const goMain = (name: string) => `package ${name}

import (
	flex_bufio "bufio"
	flex_os "os"
	flex_testing "testing"
)

func TestMain(m *flex_testing.M) {
	nonce, _ := flex_bufio.NewReader(flex_os.Stdin).ReadString('\\n')
	code := m.Run()
	if code == 0 {
		flex_os.Stdout.WriteString("\\n" + nonce)
	}
	flex_os.Exit(code)
}
`;

const go: Runner = {
  compiler: {
    files: (text) => ({ '/flex/flex_test.go': goMain(goPackage(text)), '/flex/program_test.go': text }),
    // As `go test` does it, with its checks. Go 1.20 and later first build what they need of their library.
    script: () =>
      'GOCACHE=/tmp/cache GOPATH=/tmp/go GO111MODULE=off GOTOOLCHAIN=local ' +
      "go test -c -ldflags='-s -w' -o program /flex/flex_test.go /flex/program_test.go",
    seconds: 60,
  },
  seal: ({ source, code }) => source + code,
  input: 'nonce',
  sealed: () => ({ command: execute }),
  plain: null,
  reserves: true,
  signs: { assertion: 1, line: /^panic: .*$|^[ \t]+\S+_test\.go:\d+: .*$/m },
};

/** A program that names no package does not compile, whatever is said here. */
function goPackage(text: string): string {
  return /^[ \t]*package\s+(\w+)/m.exec(text)?.[1] ?? 'program_test';
}

const javatuples = '/usr/share/java/javatuples.jar';
const javaMain = /\bvoid\s+main\s*\([^)]{0,99}\)[^{;]{0,99}\{/g;
const fastJvm = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-XX:-UsePerfData', '-Xshare:auto'];
const javaFlags = [...fastJvm, '-ea', '-Xss8m', '-Xmx512m', '-XX:MaxMetaspaceSize=128m'];

const java: Runner = {
  compiler: {
    files: (text) => ({ [javaFile(text)]: text }),
    script: (text) =>
      `${findJavaHome()}/bin/javac ${fastJvm.map((flag) => `-J${flag}`).join(' ')} -proc:none -nowarn ` +
      `-encoding UTF-8 -cp ${javatuples} -d classes ${javaFile(text)} && tar -C classes -cf program .`,
    seconds: 20,
  },
  seal: (parts) =>
    inMain(parts, {
      head: javaMain,
      tail: /\}\s*\}\s*$/,
      first: 'java.lang.String flexNonce = new java.util.Scanner(java.lang.System.in).nextLine();',
      last: 'java.lang.System.out.println("\\n" + flexNonce);',
    }),
  input: 'nonce',
  sealed: (text) => ({
    command: [
      ...['/bin/sh', '-c', 'mkdir classes && tar -C classes -xf /flex/program && exec "$@"', 'sh'],
      ...[`${findJavaHome()}/bin/java`, ...javaFlags, '-cp', `classes:${javatuples}`, javaMainClass(text)],
    ],
  }),
  plain: null,
  reserves: true,
  processes: 96,
  signs: {
    assertion: /AssertionError|-- test case \d+ did not pass/,
    line: /^Exception in thread .*$/m,
  },
};

/** The class whose main function comes last. */
function javaMainClass(text: string): string {
  const main = [...text.matchAll(javaMain)].at(-1);
  const name = [...text.slice(0, main?.index).matchAll(/\bclass\s+(\w+)/g)].at(-1)?.[1];
  if (name === undefined) throw new DataError('tests: must end with the main function that runs them');
  return name;
}

function javaFile(text: string): string {
  const name = /^[ \t]*public\s+(?:(?:final|abstract)\s+)?class\s+(\w+)/m.exec(text)?.[1];
  return `/flex/${name ?? 'Program'}.java`;
}

const ts: Runner = {
  ...js,
  compiler: {
    files: (text) => ({ '/flex/program.ts': text }),
    // As MultiPL-E does it: type errors count. To skip the checks of the library's own declarations would
    // halve the time, but let pass a `function open`, which is an error next to the one of the browser.
    script: () => 'tsc --target esnext --outDir out /flex/program.ts && mv out/program.js program',
    seconds: 20,
  },
  seal: (parts, nonce) => js.seal({ ...parts, code: `${parts.code}\ndeclare var require: any;` }, nonce),
};

/** Languages whose programs are compiled in a box of their own first. */
export const compiled = { cpp, rs, go, java, ts };
