import type { LanguageId } from './languages/index.ts';

/**
 * What the judge takes: the candidate's source and, apart from it, what it is tested with. Equal programs are
 * judged once.
 */
export interface Program<Kind extends Tests = Tests> {
  readonly language: LanguageId;
  /** The candidate's own source, never the tests: it is all that the candidate's process is shown. */
  readonly source: string;
  readonly tests: Kind;
}

export type Tests = PythonCalls | JavaCalls | JavaScriptCalls | CppCalls | Transcripts | Appended;

/** Python tests that run in a process of their own; what they call is answered by the candidate's process. */
export interface PythonCalls {
  readonly kind: 'python-calls';
  /** Trusted code that the tests need around them, such as helpers of the prompt or MBPP's setup. */
  readonly setup: string;
  /** The tests: raising means failing. */
  readonly code: string;
  /**
   * Names bound to the candidate whatever `setup` defines. Other names that `setup`, the tests and Python's
   * builtins leave undefined are looked up in the candidate's globals. A dotted name `Solution.f` is the
   * method f of a fresh `Solution()`.
   */
  readonly entryPoints: readonly string[];
  /** What follows the source where the tests have to run in the candidate's own process. */
  readonly inProcess: string;
}

/** Java tests that run in a JVM of their own, compiled against stubs of the candidate's methods. */
export interface JavaCalls {
  readonly kind: 'java-calls';
  /** A compilation unit with the stubs and the tests; its `mainClass` throws where a test fails. */
  readonly tester: string;
  readonly mainClass: string;
  /** The whole program as its publisher would compile it, tests included; it must compile too. Never run. */
  readonly whole: string | null;
}

/**
 * JavaScript tests that run in a process of their own; what they call is answered by the candidate's process.
 */
export interface JavaScriptCalls {
  readonly kind: 'javascript-calls';
  /** The tests: throwing means failing, and so does an assertion of `node:assert`, after which they go on. */
  readonly code: string;
  /** The name that the candidate's function has in the tests. */
  readonly entryPoint: string;
}

/** C++ tests that run in a process of their own; what they call is answered by the candidate's process. */
export interface CppCalls {
  readonly kind: 'cpp-calls';
  /** What the tests need before them, such as includes of the prompt. */
  readonly setup: string;
  /** The type of the candidate's function: `std::string(long, std::vector<long>)`. */
  readonly signature: string;
  /** Its name. */
  readonly entryPoint: string;
  /** The tests, with their main function; after an assertion that fails they go on. */
  readonly code: string;
}

/** Programs that read standard input and write standard output; the expected output never enters the box. */
export interface Transcripts {
  readonly kind: 'transcripts';
  readonly cases: readonly { readonly input: string; readonly output: string }[];
}

/** Tests in the candidate's own process, right after its source: `source + code` is one program. */
export interface Appended {
  readonly kind: 'appended';
  readonly code: string;
}
