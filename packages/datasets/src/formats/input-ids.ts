import type { Format, Row } from '../format.ts';
import { hasOnly, integers, taskId } from '../row.ts';

/** An example as token ids. */
export interface InputIdsRow extends Row {
  readonly inputIds: readonly number[];
  /** As many as `inputIds`, −100 where nothing is scored; null scores all. */
  readonly labels: readonly number[] | null;
}

/** `{input_ids, labels?}`, and perhaps a `task_id`: token ids, which are used as they are. */
export const inputIds: Format<InputIdsRow> = {
  name: 'input-ids',
  shape: '{input_ids, labels?}',
  matches: (row) => hasOnly(row, 'input_ids') || hasOnly(row, 'input_ids', 'labels'),
  read: (row) => ({
    id: taskId(row),
    inputIds: integers(row, 'input_ids'),
    labels: row.value.labels == null ? null : integers(row, 'labels'),
  }),
  passages: ({ inputIds }) => ({ prompts: [], completions: [inputIds.join()] }),
};
