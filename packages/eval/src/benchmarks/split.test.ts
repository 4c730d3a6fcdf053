import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../errors.ts';
import { parseSplit, taskNumber } from './split.ts';

describe('a split', () => {
  test.each([
    ['prompt', 1, 10],
    ['test', 11, 510],
    ['validation', 511, 600],
    ['train', 601, 974],
    ['11-510', 11, 510],
    ['7', 7, 7],
  ])('%s selects the task ids from %d to %d and no others', (text, first, last) => {
    const ids = Array.from({ length: 1200 }, (_, id) => id).filter((id) => parseSplit(text, true)(`${id}`));
    expect([ids[0], ids.at(-1), ids.length]).toEqual([first, last, last - first + 1]);
  });

  test('with commas selects what any of its parts selects', () => {
    const id = fc.nat({ max: 1000 });
    const range = fc.tuple(id, id).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
    const part = fc.oneof(range, fc.constantFrom('train', 'test', 'prompt', 'validation', 'all'));
    fc.assert(
      fc.property(fc.array(part, { minLength: 1 }), id, (parts, task) => {
        const any = parts.some((text) => parseSplit(text, true)(`${task}`));
        expect(parseSplit(parts.join(', '), true)(`${task}`)).toBe(any);
      }),
    );
  });

  test('goes by the first number of an id', () => {
    const accepts = parseSplit('20-25', false);
    const ids = ['HumanEval/23', 'HumanEval_23_strlen', 'MBJP/26', 'Mbpp/20', '0024', 'none'];
    expect(ids.filter(accepts)).toEqual(['HumanEval/23', 'HumanEval_23_strlen', 'Mbpp/20', '0024']);
    expect(taskNumber('HumanEval_23_2')).toBe(23);
  });

  test.each(['', 'trian', '10-1', '1-', '-1', '1,', '1.5', 'constructor', '1-2-3'])('is not %j', (text) => {
    expect(() => parseSplit(text, true)).toThrow(ConfigError);
  });

  test('of other benchmarks has no names but all', () => {
    expect(parseSplit('all', false)('any')).toBe(true);
    expect(() => parseSplit('test', false)).toThrow('split must be all, a range of task ids');
    expect(() => parseSplit('trian', true)).toThrow('is it train?');
  });
});
