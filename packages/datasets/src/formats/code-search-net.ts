import type { Format, Row } from '../format.ts';
import { has, type Members, optionalText, text, unix } from '../row.ts';

/** A row of CodeSearchNet, whose id is the address of its code. */
export interface CodeSearchNetRow extends Row {
  readonly docstring: string;
  readonly code: string;
}

/** The keys of docstring, code, address and part: the Hugging Face set's, and those of its own files. */
const spellings = [
  ['func_documentation_string', 'func_code_string', 'func_code_url', 'split_name'],
  ['func_documentation_string', 'whole_func_string', 'func_code_url', 'split_name'],
  ['docstring', 'code', 'url', 'partition'],
] as const;

/**
 * CodeSearchNet (Husain et al. 2019), with the keys of its own files, `{docstring, code, url?, partition?}`, or
 * those of the Hugging Face set. Its parts are named train, valid (or validation) and test.
 */
export const codeSearchNet: Format<CodeSearchNetRow> = {
  name: 'codesearchnet',
  shape: '{func_documentation_string, func_code_string} or {docstring, code}',
  matches: (row) => spellingOf(row) !== undefined,
  read(row) {
    const [docstring, code, url, part] = spellingOf(row.value) ?? spellings[2];
    return {
      id: optionalText(row, url),
      part: optionalText(row, part)?.replace(/^valid$/, 'validation') ?? null,
      docstring: unix(text(row, docstring)),
      code: unix(text(row, code)),
    };
  },
  passages: ({ docstring, code }) => ({
    prompts: [`"""\n${docstring}\n"""\n`, docstring],
    completions: [code],
  }),
  completion: {
    template: { prompt: '"""\n{docstring}\n"""\n', completion: '{code}' },
    texts: ({ docstring, code }) => ({ docstring, code }),
  },
};

function spellingOf(row: Members) {
  return spellings.find(([docstring, code]) => has(row, docstring, code));
}
