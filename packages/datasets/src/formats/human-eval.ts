import { DataError, show } from '@flex/base';
import type { Format, Row } from '../format.ts';
import { has, optionalText, taskId, text } from '../row.ts';

/** A row of HumanEval. */
export interface HumanEvalRow extends Row {
  readonly prompt: string;
  readonly entryPoint: string;
  readonly test: string;
  readonly canonical: string | null;
}

/** HumanEval (Chen et al. 2021): `{task_id, prompt, entry_point, canonical_solution?, test}`. */
export const humanEval: Format<HumanEvalRow> = {
  name: 'humaneval',
  shape: '{task_id, prompt, entry_point, test}',
  matches: (row) => has(row, 'task_id', 'prompt', 'entry_point', 'test') && !has(row, 'language'),
  read(row) {
    const entryPoint = text(row, 'entry_point');
    if (!/^[A-Za-z_]\w*$/.test(entryPoint)) {
      throw new DataError(
        `${row.where}: entry_point must be the name of a function, got ${show(entryPoint)}`,
      );
    }
    return {
      id: taskId(row),
      prompt: text(row, 'prompt'),
      entryPoint,
      test: text(row, 'test'),
      canonical: optionalText(row, 'canonical_solution'),
    };
  },
  passages: ({ prompt, canonical }) => ({
    prompts: [prompt],
    completions: canonical === null ? [] : [canonical],
    language: 'python',
  }),
  completion: {
    template: { prompt: '{prompt}', completion: '{canonical_solution}' },
    texts: ({ prompt, canonical }) => (canonical === null ? null : { prompt, canonical_solution: canonical }),
  },
};
