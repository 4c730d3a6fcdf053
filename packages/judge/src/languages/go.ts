import { defineLanguage, executable } from '../language.ts';

/** Package testing calls this in place of running the tests, and leaves it to say how the program ends. */
const mainOf = (name: string) => `package ${name}

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

export const go = defineLanguage({
  id: 'go',
  name: 'Go',
  packages: 'golang-go',
  programs: ['go'],
  reads: ['/usr/lib/go', '/usr/lib/go-*', '/usr/share/go-*', '/usr/go'],
  version: () => 'go env GOVERSION',
  reserves: true,
  empty: '    panic(0)\n}\n',
  compiler: {
    files: (text) => ({ '/flex/flex_test.go': mainOf(packageOf(text)), '/flex/program_test.go': text }),
    // As `go test` does it, with its checks. Go 1.20 and later first build what they need of their library.
    script: () =>
      'GOCACHE=/tmp/cache GOPATH=/tmp/go GO111MODULE=off GOTOOLCHAIN=local ' +
      "go test -c -ldflags='-s -w' -o program /flex/flex_test.go /flex/program_test.go",
    seconds: 60,
  },
  seal: ({ source, code }) => source + code,
  readsNonce: true,
  sealed: () => executable,
  plain: null,
  signs: { assertion: 1, line: /^panic: .*$|^[ \t]+\S+_test\.go:\d+: .*$/m },
  examples: new URL('../../fixtures/languages/go.txt', import.meta.url),
});

/** A program that names no package does not compile, whatever is said here. */
function packageOf(text: string): string {
  return /^[ \t]*package\s+(\w+)/m.exec(text)?.[1] ?? 'program_test';
}
