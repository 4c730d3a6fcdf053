import type { Limits } from './sandbox/limits.ts';

/**
 * A language whose programs can be judged, and all that is particular to it. Programs have the shape that
 * MultiPL-E gives them: a source, and tests that follow it and end as the language's do.
 */
export interface Language<Id extends string = string> {
  /** MultiPL-E's short name: `cpp`. */
  readonly id: Id;
  /** As people write it: `C++`. */
  readonly name: string;
  /** Debian packages. */
  readonly packages: string;
  /** Programs of theirs that must be on a box's PATH. */
  readonly programs: readonly string[];
  /**
   * Files and folders that its programs read, besides those that every box sees: `/usr/lib/go-*`, which
   * stands for those of /usr/local too. A box has nothing else of the machine.
   */
  readonly reads?: readonly string[];
  /** Shell commands that print the version, in a few lines, and fail where a library is missing. */
  version(): string;
  /** What one program may use, where it is not `defaultLimits`. */
  readonly limits?: Limits;
  /** Whether its runtime reserves far more address space than it uses. */
  readonly reserves?: true;
  /**
   * A completion that does nothing, or throws where the types forbid that; closed only where the tests do
   * not close it.
   */
  readonly empty: string;
  readonly compiler?: Compiler;
  /**
   * The program's text, made to print a nonce, on a line of its own, after its tests have passed. With
   * `readsNonce` the program reads it from standard input as the first act of its main function, into a
   * local variable, and prints it as the last; else the text holds it. Throws DataError for tests that do
   * not end as they must.
   */
  seal(parts: Parts, nonce: string): string;
  /** Whether a sealed program reads the nonce; else standard input is its own text. */
  readonly readsNonce?: true;
  /**
   * Starts a sealed program: `/flex/program` where it reads the nonce, else an interpreter that reads all of
   * standard input before it runs any of it.
   */
  sealed(text: string): Launch;
  /** Starts an unchanged program, whose standard input is its own; null where nothing needs that. */
  readonly plain: Plain | null;
  readonly signs: Signs;
  /** A file of example programs, which `checkLanguage` from `@flex/judge/testing` runs; `ruby.txt` is one. */
  readonly examples: URL;
}

/** A candidate's source and the tests that follow it; together they are one program. */
export interface Parts {
  readonly source: string;
  readonly code: string;
}

/** Turns a program's text into what is run, in a box of its own. */
export interface Compiler {
  /** The files it reads, by path. */
  files(text: string): Readonly<Record<string, string>>;
  /** Shell commands, run in /tmp, that leave their result as `/tmp/program`. */
  script(text: string): string;
  readonly seconds: number;
}

/** What starts a program in a box. */
export interface Launch {
  readonly command: readonly string[];
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

export interface Plain {
  /** Where its text lies, or its compiler's result. */
  readonly path: string;
  readonly command: readonly string[];
  /** Shows that it does not parse; needed where `signs` has an exit code for that, which is a driver's. */
  readonly unparsable?: RegExp;
}

/** What a program's words (standard error, then standard output) tell about why it failed. */
export interface Signs {
  /** It could not be parsed, where no compiler has said so; an exit code where a driver says it. */
  readonly unparsable?: RegExp | number;
  /** A test's assertion failed; an exit code where the tests say it by that. */
  readonly assertion?: RegExp | number;
  /** The line that says most; without a match it is the last line of standard error. */
  readonly line?: RegExp;
}

/** Types a language: its id is a literal. */
export function defineLanguage<const Id extends string>(language: Language<Id>): Language<Id> {
  return language;
}

/** Exit code of the drivers that some languages are run by, for a program that does not parse. */
export const unparsableCode = 67;

/** Starts what a compiler made: a copy, as the box's files cannot be executed. */
export const executable: Plain = {
  path: '/flex/program',
  command: ['/bin/sh', '-c', 'cp /flex/program . && chmod 500 program && exec ./program'],
};
