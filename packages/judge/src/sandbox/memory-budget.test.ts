import { totalmem } from 'node:os';
import { expect, test } from 'vitest';
import { availableMemory, lanesWithin } from './memory-budget.ts';

const GiB = 2 ** 30;

test.each([
  [64, 4, 4],
  [4, 4, 2],
  [2, 4, 1],
  [0.5, 4, 1],
  [0.5, 0, 0],
])('%d GiB, with %d lanes of 1.2 GiB asked for, have %d', (gibibytes, lanes, fitting) => {
  expect(lanesWithin(gibibytes * GiB, lanes, 1.2 * GiB)).toBe(fitting);
});

test('no more memory is available than the machine has', () => {
  expect(availableMemory()).toBeGreaterThan(0);
  expect(availableMemory()).toBeLessThanOrEqual(totalmem());
});
