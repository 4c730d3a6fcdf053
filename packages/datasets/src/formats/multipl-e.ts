import { DataError } from '@flex/base';
import type { Format, Row } from '../format.ts';
import { has, id, optionalTexts, text } from '../row.ts';

/** A row of MultiPL-E. */
export interface MultiplERow extends Row {
  /** As the publisher shortens it: `rs`, `go`. */
  readonly language: string;
  readonly prompt: string;
  readonly tests: string;
  readonly stop: readonly string[];
}

/**
 * MultiPL-E (Cassano et al. 2022): `{name, language, prompt, tests, stop_tokens}`, which has no solutions. The
 * language may be written with a file's ending, as `go_test.go`.
 */
export const multiplE: Format<MultiplERow> = {
  name: 'multipl-e',
  shape: '{name, language, prompt, tests, stop_tokens}',
  matches: (row) => has(row, 'name', 'prompt', 'tests'),
  read(row) {
    const stop = optionalTexts(row, 'stop_tokens');
    if (stop.includes('')) {
      throw new DataError(`${row.where}: stop_tokens holds an empty text, which would stop at once`);
    }
    return {
      id: id(row, 'name'),
      language: text(row, 'language').replace(/_test\.go$/, ''),
      prompt: text(row, 'prompt'),
      tests: text(row, 'tests'),
      stop,
    };
  },
  passages: ({ prompt, language }) => ({ prompts: [prompt], completions: [], language }),
};
