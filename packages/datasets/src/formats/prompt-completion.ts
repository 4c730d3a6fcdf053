import type { Format, Row } from '../format.ts';
import { hasOnly, taskId, text } from '../row.ts';

/** What is to be learnt, and what it follows. */
export interface PromptCompletionRow extends Row {
  readonly prompt: string;
  readonly completion: string;
}

/** `{prompt, completion}`, and perhaps a `task_id`. */
export const promptCompletion: Format<PromptCompletionRow> = {
  name: 'prompt-completion',
  shape: '{prompt, completion}',
  matches: (row) => hasOnly(row, 'prompt', 'completion'),
  read: (row) => ({ id: taskId(row), prompt: text(row, 'prompt'), completion: text(row, 'completion') }),
  completion: {
    template: { prompt: '{prompt}', completion: '{completion}' },
    texts: ({ prompt, completion }) => ({ prompt, completion }),
  },
};
