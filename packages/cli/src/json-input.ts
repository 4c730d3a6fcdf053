import { DataError, parseJson, readWhole, schemaRule } from '@flex/base';
import { z } from 'zod';

const ids = z.array(z.array(z.int().nonnegative()).min(1)).min(1);
const schema = z.strictObject({
  input_ids: ids,
  attention_mask: z.array(z.array(z.literal([0, 1]))).optional(),
});

/** Right-padded token ids [b, t] and the length of each row. */
export interface TokenInput {
  readonly b: number;
  readonly t: number;
  readonly ids: Int32Array;
  readonly lengths: readonly number[];
}

/**
 * Reads `{"input_ids": [[…]], "attention_mask": [[…]]}`. Without a mask every token counts. Throws DataError, one
 * line, for a missing or malformed file, an id outside the vocabulary, ragged rows, and padding on the left.
 */
export function readTokenInput(path: string, vocabSize: number): TokenInput {
  const parsed = schema.safeParse(readJsonInput(path), { error: schemaRule });
  if (!parsed.success) {
    const { path: at, message } = parsed.error.issues[0];
    const what = at.length > 0 ? `"${at.join('.')}"` : 'the content';
    throw new DataError(`${path}: ${what} ${message}; write {"input_ids": [[1, 5, …], …]}`);
  }
  const { input_ids: rows, attention_mask: mask } = parsed.data;
  const t = rows[0].length;
  rows.forEach((row, i) => {
    if (row.length !== t)
      throw new DataError(
        `${path}: input_ids.${i} has ${row.length} ids, the first row ${t}; pad on the right`,
      );
    const wrong = row.find((id) => id >= vocabSize);
    if (wrong !== undefined)
      throw new DataError(`${path}: input_ids.${i}: ${wrong} is not in the vocabulary of ${vocabSize}`);
  });
  const lengths = rows.map((_, i) => (mask ? rightPaddedLength(path, mask, i, t) : t));
  if (mask && mask.length !== rows.length) {
    throw new DataError(`${path}: attention_mask has ${mask.length} rows, input_ids ${rows.length}`);
  }
  return { b: rows.length, t, ids: Int32Array.from(rows.flat()), lengths };
}

function rightPaddedLength(path: string, mask: readonly (readonly number[])[], i: number, t: number): number {
  const row = mask[i] ?? [];
  if (row.length !== t)
    throw new DataError(`${path}: attention_mask.${i} has ${row.length} numbers, input_ids.${i} ${t}`);
  const length = row.lastIndexOf(1) + 1;
  if (row.indexOf(0) !== -1 && row.indexOf(0) < length) {
    throw new DataError(`${path}: attention_mask.${i} has a 0 before a 1; padding must be on the right`);
  }
  return length;
}

/** The value of a JSON file. Throws DataError when it is missing or malformed. */
export function readJsonInput(path: string): unknown {
  let text: string;
  try {
    text = readWhole(path).toString();
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`${path}: cannot be read: ${(error as Error).message}`);
  }
  return parseJson(text, path);
}
