import type { Example } from './encode.ts';

/**
 * The examples in rows of at most `maxLength` tokens, several in a row, in which each is a document of its
 * own: one after the other, into the fullest row that has room, else into a new one (best fit); one that is
 * longer has a row to itself. The rows are in the order of their first examples.
 *
 * NUMERICS: which examples an update takes together is fixed by this.
 */
export function packExamples(examples: readonly Example[], maxLength: number): Example[] {
  const rows: Example[][] = [];
  /** The rows with n tokens of room, for each n. */
  const withRoom: number[][] = Array.from({ length: maxLength + 1 }, () => []);
  for (const example of examples) {
    const { length } = example.input_ids;
    let room = length;
    while (room <= maxLength && withRoom[room].length === 0) room++;
    const row = withRoom[room]?.pop() ?? rows.push([]) - 1;
    rows[row].push(example);
    withRoom[Math.max(length, Math.min(room, maxLength)) - length].push(row);
  }
  return rows.map((row) => (row.length === 1 ? row[0] : joined(row)));
}

function joined(examples: readonly Example[]): Example {
  const length = examples.reduce((sum, { input_ids }) => sum + input_ids.length, 0);
  const row = {
    input_ids: new Int32Array(length),
    labels: new Int32Array(length),
    starts: new Int32Array(length),
    rows: examples.flatMap(({ rows }) => rows),
  };
  let start = 0;
  for (const { input_ids, labels } of examples) {
    row.input_ids.set(input_ids, start);
    row.labels.set(labels, start);
    row.starts.fill(start, start, start + input_ids.length);
    start += input_ids.length;
  }
  return row;
}
