/** A candidate's source and the tests that follow it; together they are one program. */
export interface Parts {
  readonly source: string;
  readonly code: string;
}

/** What starts a program in a box. */
export interface Launch {
  readonly command: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
}

/** Turns a program's text into what is run, in a box of its own. */
export interface Compiler {
  /** The files it reads, by path. */
  files(text: string): Readonly<Record<string, string>>;
  /** Shell commands, run in /tmp, that leave their result as `/tmp/program`. */
  script(text: string): string;
  readonly seconds: number;
}

/**
 * How programs of one language are run, and how they are made to print a nonce, on a line of its own, after
 * their tests have passed.
 */
export interface Runner {
  readonly compiler?: Compiler;
  /**
   * The program's text with an epilogue. Where the nonce is given on standard input, the text reads it as the
   * first act of its main function, into a local variable, and prints it as the last; else the text holds it,
   * and is itself given on standard input to an interpreter that reads all of it before running any.
   */
  seal(parts: Parts, nonce: string): string;
  readonly input: 'program' | 'nonce';
  /** Starts a sealed program; a compiled one that takes the nonce on standard input is `/flex/program`. */
  sealed(text: string): Launch;
  /** Starts an unchanged program, whose standard input is its own; null where nothing needs that. */
  readonly plain: Plain | null;
  /** Whether its runtime reserves far more address space than it uses. */
  readonly reserves?: true;
  /** Processes and threads it needs at least. */
  readonly processes?: number;
  readonly signs: Signs;
}

export interface Plain {
  /** Where its text lies, or its compiler's result. */
  readonly path: string;
  readonly command: readonly string[];
  /** Shows that it does not parse. */
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

/** Exit code of the drivers for a program that does not parse. */
export const unparsableCode = 67;
