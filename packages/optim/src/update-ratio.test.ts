import { tensor } from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, it } from 'vitest';
import { updateRatio } from './update-ratio.ts';

describeEachBackend((backend) => {
  const of = (x: number[], y: number[]) =>
    new Map([
      ['x', tensor(backend(), x, [x.length])],
      ['y', tensor(backend(), y, [2, y.length / 2])],
    ]);

  it('is the length of the change by that of the weights, over all of them', async () => {
    const [before, after] = [of([3, 0, 0], [4, 0, 0, 0]), of([3, 0.3, 0], [4, 0, 0, -0.4])];
    const ratio = updateRatio(before, after);
    expectClose([await ratio.item()], [0.5 / 5], 1e-6);
    expect(ratio.shape).toEqual([]);
    expect(await updateRatio(before, before).item()).toBe(0);
  });
});
