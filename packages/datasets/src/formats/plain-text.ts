import type { Format, Row } from '../format.ts';
import { hasOnly, taskId, text } from '../row.ts';

/** A text, all of which is to be learnt. */
export interface TextRow extends Row {
  readonly text: string;
}

/** `{text}`, and perhaps a `task_id`. */
export const plainText: Format<TextRow> = {
  name: 'text',
  shape: '{text}',
  matches: (row) => hasOnly(row, 'text'),
  read: (row) => ({ id: taskId(row), text: text(row, 'text') }),
  completion: {
    template: { prompt: '', completion: '{text}' },
    texts: ({ text }) => ({ text }),
  },
};
