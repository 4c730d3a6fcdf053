import { DataError, parseJson, show } from '@flex/base';
import type { Format, Row } from '../format.ts';
import { memberText } from '../json-splitter.ts';
import { has, id, optionalText, type RawRow, taskId, text, unix } from '../row.ts';

/** A row of APPS. */
export interface AppsRow extends Row {
  readonly question: string;
  readonly starterCode: string;
  /** JSON text of `{inputs, outputs, fn_name?}`, with its numbers as they were written; null where there is none. */
  readonly inputOutput: string | null;
  readonly solutions: readonly string[];
}

/**
 * APPS (Hendrycks et al. 2021): `{task_id, problem_id or id, question, input_output, starter_code?, solutions?}`, where
 * `input_output` is an object or JSON text, and `solutions` a list or JSON text.
 */
export const apps: Format<AppsRow> = {
  name: 'apps',
  shape: '{task_id or problem_id, question, input_output, solutions}',
  matches: (row) => has(row, 'question') && (has(row, 'input_output') || has(row, 'solutions')),
  read: (row) => ({
    id: taskId(row) ?? (row.value.id == null ? null : id(row, 'id')),
    question: text(row, 'question'),
    starterCode: optionalText(row, 'starter_code') ?? '',
    inputOutput: inputOutputOf(row),
    solutions: solutionsOf(row),
  }),
  passages: ({ question, starterCode, solutions }) => ({
    prompts: [`"""\n${question}\n${starterCode}"""\n`, question],
    completions: solutions,
    language: 'python',
  }),
  completion: {
    template: { prompt: '"""\n{question}\n{starter_code}"""\n', completion: '{solution}' },
    texts: ({ question, starterCode, solutions: [solution] }) =>
      solution === undefined
        ? null
        : {
            question,
            starter_code: starterCode === '' ? '' : `${starterCode.trimEnd()}\n`,
            solution: unix(solution),
          },
  },
};

function inputOutputOf(row: RawRow): string | null {
  const given = row.value.input_output ?? '';
  const json = typeof given === 'string' ? given : memberText(row.text, 'input_output');
  return json || null;
}

function solutionsOf({ value: { solutions: given }, where }: RawRow): readonly string[] {
  const value =
    typeof given === 'string' && given !== '' ? parseJson(given, `${where}: solutions`) : given || [];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new DataError(`${where}: solutions must be a list of texts, or JSON text of one, got ${show(given)}`);
}
