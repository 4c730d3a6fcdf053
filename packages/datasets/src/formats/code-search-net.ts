import type { Format, Row } from '../format.ts';
import { has, taskId, text, unix } from '../row.ts';

/** A row of CodeSearchNet. */
export interface CodeSearchNetRow extends Row {
  readonly docstring: string;
  readonly code: string;
}

/** CodeSearchNet (Husain et al. 2019), with the keys of its own files, or those of the Hugging Face set. */
export const codeSearchNet: Format<CodeSearchNetRow> = {
  name: 'codesearchnet',
  shape: '{func_documentation_string, whole_func_string} or {docstring, code}',
  matches: (row) =>
    has(row, 'func_documentation_string', 'whole_func_string') || has(row, 'docstring', 'code'),
  read(row) {
    const [docstring, code] = has(row.value, 'whole_func_string')
      ? ['func_documentation_string', 'whole_func_string']
      : ['docstring', 'code'];
    return { id: taskId(row), docstring: text(row, docstring), code: unix(text(row, code)) };
  },
  completion: {
    template: { prompt: '"""\n{docstring}\n"""\n', completion: '{code}' },
    texts: ({ docstring, code }) => ({ docstring, code }),
  },
};
