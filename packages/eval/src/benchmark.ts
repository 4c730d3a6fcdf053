import type { LanguageId, Program } from '@flex/judge';

/** One task of a benchmark. */
export interface Problem {
  /** Unique in its benchmark, as its publisher writes it: `HumanEval/0`, `11`, `HumanEval_23_strlen`. */
  readonly id: string;
  readonly language: LanguageId;
  /** What the model continues. */
  readonly prompt: string;
  /** Texts that end a completion; the completion stops before the first of them. */
  readonly stop: readonly string[];
  /** The publisher's own solution, as a completion of `prompt`; null where there is none. */
  readonly canonical: string | null;
  /** A completion that does nothing: it must fail every problem (`return None`, an empty body). */
  readonly empty: string;
}

/** What a model or a file gives for one problem: text after the prompt, or a whole program without one. */
export interface Completion {
  readonly kind: 'completion' | 'program';
  readonly text: string;
}

/**
 * A benchmark is a value: its problems, and the program that judges a completion of one of them. `name` and
 * `options` say everything that can change a score and go into the protocol's fingerprint.
 */
export interface Benchmark {
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
  problems(): AsyncIterable<Problem>;
  /** Pure: no clock, no randomness, no files; equal completions give equal programs. */
  program(problem: Problem, completion: Completion): Program;
  /**
   * The same completion with the tests that the benchmark was first published with, where `program` has those
   * that were added: a completion passes that passes both, and the score of these alone stands beside that.
   * Pure, as `program`.
   */
  base?(problem: Problem, completion: Completion): Program;
}
