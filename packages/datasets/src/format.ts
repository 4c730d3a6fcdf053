import type { Members, RawRow } from './row.ts';
import type { Template } from './template.ts';

/** What a row holds, as its format reads it. */
export interface Row {
  /** As the publisher writes it: `601`, `HumanEval/0`; null where the row has none. */
  readonly id: string | null;
  /** The part of its set that the row says it is in: `train`, `validation`, `test`. */
  readonly part?: string | null;
}

/** The texts by which a row is recognised in another set, in whatever format it stands there. */
export interface Passages {
  /** What is asked, first as the format's template writes it, then a part of it that may stand by itself. */
  readonly prompts: readonly string[];
  /** The answers, the first of which is the one that is learnt; none where the row has no solution. */
  readonly completions: readonly string[];
  /** The programming language, where the row is of one. */
  readonly language?: string | null;
}

/**
 * A way of writing tasks or examples as JSON objects, told apart by their keys: what such a row holds and,
 * where it has a solution, what a model learns from it.
 *
 *     export const alpaca: Format<Alpaca> = {
 *       name: 'alpaca',
 *       shape: '{instruction, output}',
 *       matches: (row) => has(row, 'instruction', 'output'),
 *       read: (row) => ({ id: taskId(row), instruction: text(row, 'instruction'), output: text(row, 'output')
 * }),
 *       completion: {
 *         template: { prompt: '{instruction}\n', completion: '{output}' },
 *         texts: ({ instruction, output }) => ({ instruction, output }),
 *       },
 *     };
 */
export interface Format<R extends Row = Row> {
  readonly name: string;
  /** The keys of its rows, for messages. */
  readonly shape: string;
  /** What an id is like that is a number of MBPP's tasks, for which the names of MBPP's splits stand. */
  readonly mbppIds?: RegExp;
  /** Whether a row of these members is of this format, if it is of none before it in a list of formats. */
  matches(row: Members): boolean;
  /** What the row holds, checked. Throws DataError, which begins with the row's place. */
  read(row: RawRow): R;
  /** The row's passages; left out where prompt and completion of the template are all. */
  passages?(row: R): Passages;
  /**
   * What a model learns of the row; left out where the row is of token ids or a chat, or nothing to learn.
   */
  readonly completion?: {
    readonly template: Template;
    /**
     * The texts that templates may name, next to the row's own; null for a row that is left out as it has no
     * solution. Throws DataError, which begins with `where`, where every row must have one.
     */
    texts(row: R, where: string): Readonly<Record<string, string>> | null;
  };
}
