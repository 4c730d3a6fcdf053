import { expect, test } from 'vitest';
import { oneHot, tensor } from '../index.ts';
import { describeEachBackend } from '../testing/index.ts';

describeEachBackend((backend) => {
  test('a row of oneHot is 1 at its label alone, and 0 where the label is no class', async () => {
    const labels = tensor(backend(), [1, -100, 0, 2], [2, 2], 'i32');
    const hot = oneHot(labels, 2);
    expect(hot.shape).toEqual([2, 2, 2]);
    expect(Array.from(await hot.data())).toEqual([0, 1, 0, 0, 1, 0, 0, 0]);
  });
});
