import fc from 'fast-check';
import { expect, test } from 'vitest';
import { collate } from './batches.ts';
import type { Example } from './encode.ts';
import { packExamples } from './pack.ts';

/** An example whose tokens say whose they are, and where in it they stand. */
const exampleOf = (length: number, i: number): Example => ({
  input_ids: Int32Array.from({ length }, (_, place) => 1000 * i + place),
  labels: Int32Array.from({ length }, (_, place) => (place === 0 ? -100 : 1000 * i + place)),
  rows: [`rows:${i}`],
});
const lengths = fc.array(fc.integer({ min: 1, max: 14 }), { minLength: 1, maxLength: 40 });

/** The documents of a row, as they were before. */
function documentsOf({
  input_ids,
  labels,
  starts = new Int32Array(input_ids.length),
  rows,
}: Example): Example[] {
  return [...new Set(starts)].map((start, i) => {
    const end = starts.lastIndexOf(start) + 1;
    expect(starts.slice(start, end).every((other) => other === start)).toBe(true);
    return { input_ids: input_ids.slice(start, end), labels: labels.slice(start, end), rows: [rows[i]] };
  });
}

test('every example is in one row, whole, and no row is longer than it may be but for its only example', () => {
  fc.assert(
    fc.property(lengths, fc.integer({ min: 2, max: 12 }), (all, maxLength) => {
      const examples = all.map(exampleOf);
      const rows = packExamples(examples, maxLength);
      for (const { input_ids, starts } of rows)
        if (starts) expect(input_ids.length).toBeLessThanOrEqual(maxLength);
      const found = rows.flatMap(documentsOf);
      expect(found.sort((a, b) => a.input_ids[0] - b.input_ids[0])).toEqual(examples);
    }),
  );
});

test('no two rows would fit into one', () => {
  fc.assert(
    fc.property(lengths, (all) => {
      const sizes = packExamples(all.map(exampleOf), 14).map(({ input_ids }) => input_ids.length);
      const [least, next = 14] = sizes.sort((a, b) => a - b);
      expect(least + next).toBeGreaterThan(14);
    }),
  );
});

test('an example goes into the fullest row that has room, in the order of the source', () => {
  const rows = packExamples([5, 7, 3, 2, 9].map(exampleOf), 10);
  const owners = rows.map((row) => documentsOf(row).map(({ input_ids }) => input_ids[0] / 1000));
  expect(owners).toEqual([[0, 3], [1, 2], [4]]);
  expect([...(rows[0].starts ?? [])]).toEqual([0, 0, 0, 0, 0, 5, 5]);
  expect(rows[2]).toEqual(exampleOf(9, 4));
});

test('a batch says where documents begin as soon as one of its rows has several', () => {
  const [two, one] = packExamples([2, 3, 4].map(exampleOf), 5);
  expect(collate([one]).starts).toBeUndefined();
  expect([...(collate([one, two]).starts ?? [])]).toEqual([0, 0, 0, 0, 4, 0, 0, 2, 2, 2]);
});
