import { ConfigError } from './errors.ts';
import { type FoundToolchain, findToolchain, type Recipe } from './find-toolchain.ts';
import { findJavaHome } from './judge/java/java-home.ts';
import { type Language, languages } from './language.ts';

const javatuples = '/usr/share/java/javatuples.jar';

const recipes: Readonly<Record<Language, Recipe>> = {
  py: {
    name: 'Python',
    packages: 'python3',
    programs: ['python3'],
    version: () => `/usr/bin/python3 -I -c 'import platform; print(platform.python_version())'`,
  },
  java: {
    name: 'Java',
    packages: 'default-jdk-headless libjavatuples-java',
    programs: ['tar'],
    version: () =>
      `ls ${javatuples} >&2 && ${findJavaHome()}/bin/java --version | head -n 1 &&
      printf 'javatuples %.8s' "$(sha256sum < ${javatuples})"`,
  },
  js: {
    name: 'JavaScript',
    packages: 'nodejs',
    programs: ['node'],
    version: () => `node -p '"Node.js " + process.versions.node'`,
  },
  ts: {
    name: 'TypeScript',
    packages: 'nodejs node-typescript',
    programs: ['node', 'tsc'],
    version: () => `tsc --version && node -p '"Node.js " + process.versions.node'`,
  },
  cpp: {
    name: 'C++',
    packages: 'g++',
    programs: ['g++'],
    version: () => 'g++ -dumpfullversion',
  },
  rs: {
    name: 'Rust',
    packages: 'rustc',
    programs: ['rustc', 'cc'],
    version: () => 'rustc --version',
  },
  pl: {
    name: 'Perl',
    packages: 'perl libtest-deep-perl',
    programs: ['perl'],
    version: () => `perl -MTest::Deep -e 'printf("%vd\\nTest::Deep %s\\n", $^V, $Test::Deep::VERSION)'`,
  },
  rb: {
    name: 'Ruby',
    packages: 'ruby ruby-test-unit',
    programs: ['ruby'],
    version: () =>
      `ruby -e 'require "test/unit/version"; puts RUBY_VERSION, "test-unit " + Test::Unit::VERSION'`,
  },
  php: {
    name: 'PHP',
    packages: 'php-cli',
    programs: ['php'],
    version: () => `php -r 'echo PHP_VERSION;'`,
  },
  lua: {
    name: 'Lua',
    packages: 'lua5.4 lua-unit',
    programs: ['lua5.4'],
    version: () => `lua5.4 -v && lua5.4 -e 'print("luaunit " .. require("luaunit").VERSION)'`,
  },
  sh: {
    name: 'Bash',
    packages: 'bash',
    programs: ['bash'],
    // Programs of the shell are programs of its tools.
    version: () => `bash -c 'echo "$BASH_VERSION"'
      for tool in sort sed; do $tool --version | head -n 1; done
      awk -W version 2>&1 | head -n 1; bc --version 2> /dev/null | head -n 1`,
  },
  r: {
    name: 'R',
    packages: 'r-base-core',
    programs: ['Rscript'],
    version: () => `Rscript -e 'cat(R.version$major, R.version$minor, sep = ".")'`,
  },
  go: {
    name: 'Go',
    packages: 'golang-go',
    programs: ['go'],
    version: () => 'go env GOVERSION',
  },
  rkt: {
    name: 'Racket',
    packages: 'racket',
    programs: ['racket'],
    version: () => `racket -l racket/base -l rackunit -e '(display (version))'`,
  },
};

/** What runs the programs of one language in a box. */
export interface Toolchain extends FoundToolchain {
  readonly language: Language;
}

const asked = new Map<Language, Promise<Toolchain>>();

/** What can run programs of a language here; looked up once a process. */
export function toolchainOf(language: Language): Promise<Toolchain> {
  const known = asked.get(language) ?? look(language);
  asked.set(language, known);
  return known;
}

/** Every language's toolchain, in the order of `languages`. */
export function allToolchains(): Promise<Toolchain[]> {
  return Promise.all(languages.map(toolchainOf));
}

/** The versions of some languages' toolchains. Throws ConfigError for the first language without one. */
export async function toolchainVersions(
  wanted: readonly Language[],
): Promise<Readonly<Partial<Record<Language, string>>>> {
  const found = await Promise.all(wanted.map(toolchainOf));
  return Object.fromEntries(
    found.map(({ language, name, version, missing, install }) => {
      if (version !== null) return [language, version];
      throw new ConfigError(
        `${name} programs cannot be judged here: ${missing}; install it with: ${install}`,
      );
    }),
  );
}

async function look(language: Language): Promise<Toolchain> {
  return { language, ...(await findToolchain(recipes[language])) };
}
