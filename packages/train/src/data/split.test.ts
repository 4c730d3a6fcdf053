import { ConfigError } from '@flex/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSplit, readSplit, selects } from './split.ts';

describe('a split', () => {
  test.each([
    ['prompt', 1, 10],
    ['test', 11, 510],
    ['validation', 511, 600],
    ['train', 601, 974],
    ['11-510', 11, 510],
    ['7', 7, 7],
  ])('%s selects task ids %d to %d and no others', (text, first, last) => {
    const ids = Array.from({ length: 1200 }, (_, id) => id).filter((id) => selects(parseSplit(text), id));
    expect([ids[0], ids.at(-1), ids.length]).toEqual([first, last, last - first + 1]);
  });

  test('with commas selects what any of its parts selects', () => {
    const id = fc.integer({ min: 0, max: 1000 });
    const range = fc.tuple(id, id).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
    const part = fc.oneof(range, fc.constantFrom('train', 'test', 'prompt', 'validation', 'all'));
    fc.assert(
      fc.property(fc.array(part, { minLength: 1 }), id, (parts, taskId) => {
        const any = parts.some((text) => selects(parseSplit(text), taskId));
        expect(selects(parseSplit(parts.join(', ')), taskId)).toBe(any);
      }),
    );
  });

  test('all selects rows without a task id, and no other split does', () => {
    expect(selects(parseSplit('all'), null)).toBe(true);
    expect(selects(parseSplit('0-9999'), null)).toBe(false);
  });

  test.each(['', 'trian', '10-1', '1-', '-1', '1,', '1.5', 'constructor', '1-2-3'])('is not %j', (text) => {
    expect(readSplit(text)).toBeUndefined();
    expect(() => parseSplit(text)).toThrow(ConfigError);
  });
});
