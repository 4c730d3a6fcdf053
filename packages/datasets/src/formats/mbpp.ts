import { DataError } from '@flex/base';
import type { Format, Row } from '../format.ts';
import { has, optionalText, optionalTexts, taskId, text, texts, unix } from '../row.ts';

/** A row of MBPP, with \n for line ends; its id is without a prefix. */
export interface MbppRow extends Row {
  readonly text: string;
  readonly code: string | null;
  readonly setup: string;
  readonly tests: readonly string[];
}

/**
 * MBPP (Austin et al. 2021): `{task_id, text or prompt, code?, test_list, test_setup_code?}`, or with `test_imports`
 * as the sanitized rows have; `challenge_test_list` is not used. Task ids may be 11, "11", "Mbpp/11".
 */
export const mbpp: Format<MbppRow> = {
  name: 'mbpp',
  shape: '{task_id, text, code, test_list}',
  mbppIds: /\d/,
  matches: (row) => has(row, 'test_list'),
  read(row) {
    const tests = texts(row, 'test_list').map(unix);
    if (tests.length === 0)
      throw new DataError(`${row.where}: test_list must have a test, got an empty list`);
    const code = optionalText(row, 'code');
    const setup = [...optionalTexts(row, 'test_imports'), optionalText(row, 'test_setup_code') ?? ''];
    return {
      id: taskId(row)?.replace(/^mbpp\//i, '') ?? null,
      text: unix(text(row, has(row.value, 'prompt') && !has(row.value, 'text') ? 'prompt' : 'text')),
      code: code === null ? null : unix(code),
      setup: unix(setup.join('\n').trim()),
      tests,
    };
  },
  passages: ({ text, tests: [test], code }) => ({
    prompts: [`"""\n${text}\n${test}\n"""\n`, text],
    completions: code === null ? [] : [code],
    language: 'python',
  }),
  completion: {
    template: { prompt: '"""\n{text}\n{test}\n"""\n', completion: '{code}' },
    texts({ text, tests: [test], code }, where) {
      if (code === null) throw new DataError(`${where}: has no code, which must be a text`);
      return { text, test, code };
    },
  },
};
