import type { Format, Row } from '../format.ts';
import { has, optionalText, taskId, text } from '../row.ts';

/** A row of MBXP. */
export interface MbxpRow extends Row {
  readonly language: string | null;
  readonly prompt: string;
  readonly test: string | null;
  readonly canonical: string | null;
}

/**
 * MBXP, MBPP in other languages (Athiwaratkun et al. 2022): `{task_id, language, prompt, entry_point, test,
 * canonical_solution?}`. Prompts with solutions, of whatever publisher, are read by it too.
 */
export const mbxp: Format<MbxpRow> = {
  name: 'mbxp',
  shape: '{task_id, language, prompt, entry_point, test, canonical_solution}',
  mbppIds: /^MB[A-Z]+\/\d+$/,
  matches: (row) => has(row, 'prompt', 'canonical_solution') || has(row, 'prompt', 'language', 'entry_point'),
  read: (row) => ({
    id: taskId(row),
    language: optionalText(row, 'language'),
    prompt: text(row, 'prompt'),
    test: optionalText(row, 'test'),
    canonical: optionalText(row, 'canonical_solution'),
  }),
  passages: ({ prompt, canonical, language }) => ({
    prompts: [prompt],
    completions: canonical === null ? [] : [canonical],
    language,
  }),
  completion: {
    template: { prompt: '{prompt}', completion: '{canonical_solution}' },
    texts: ({ prompt, canonical }) => (canonical === null ? null : { prompt, canonical_solution: canonical }),
  },
};
