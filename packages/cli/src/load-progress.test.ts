import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { describeLoading, newLoadProgress } from './load-progress.ts';

test('loading has bytes, speed and the time left', () => {
  const at = { bytes: 3_140_000_000, total: 13_480_000_000 };
  expect(describeLoading(at, 8.2e8, 'loading').join('  ')).toBe('loading 3.1/13.5 GB  0.82 GB/s  13 s left');
});

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

/** What is shown of pieces of a hundred MB that take so many milliseconds each. */
function shownOf(pieces: readonly number[]): string[] {
  const said: string[] = [];
  const stop = () => said.push('stopped');
  const load = newLoadProgress({ show: (_done, _total, words) => said.push(words.join('  ')), stop });
  for (let model = 0; model < 2; model++) {
    pieces.forEach((milliseconds, i) => {
      vi.advanceTimersByTime(milliseconds);
      load({ bytes: (i + 1) * 1e8, total: pieces.length * 1e8 });
    });
  }
  return said;
}

test('of a load that takes less than a second nothing is shown, of a longer one its end as well', () => {
  expect(shownOf([300, 300, 300, 300])).toEqual([]);
  const line = [
    'loading 0.3/0.4 GB  0.17 GB/s  1 s left',
    'loading 0.4/0.4 GB  0.17 GB/s  0 s left',
    'stopped',
  ];
  expect(shownOf([5000, 600, 600, 600])).toEqual([...line, ...line]);
});
