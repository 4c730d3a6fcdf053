import { expect, test } from 'vitest';
import { meanOverSeeds } from './mean-over-seeds.ts';

test('a mean over seeds has the interval of Student, within bounds, and none without spread', () => {
  const { value, ci95 } = meanOverSeeds([1, 2, 3]);
  expect(value).toBe(2);
  expect(ci95![0]).toBeCloseTo(2 - 4.30265273 / Math.sqrt(3), 7);
  expect(ci95![1]).toBeCloseTo(2 + 4.30265273 / Math.sqrt(3), 7);
  expect(meanOverSeeds([0, 0.1], [0, 1]).ci95).toEqual([0, expect.closeTo(0.05 + 12.7062 * 0.05, 3)]);
  expect(meanOverSeeds([0.7]).ci95).toBeNull();
  expect(meanOverSeeds([0.1 + 0.2, 0.3, 0.3])).toMatchObject({ ci95: null });
  expect(() => meanOverSeeds([])).toThrow(RangeError);
});
