import { ConfigError, DataError } from '@flex/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as formats from './formats/index.ts';
import { parseSplit, readSplit, selectRows, taskNumber } from './split.ts';

const selects = (split: string, id: string | number | null) =>
  parseSplit(split).selects(id === null ? null : `${id}`);

describe('the number of a task', () => {
  test.each([
    ['601', 601],
    ['0024', 24],
    ['MBJP/601', 601],
    ['HumanEval/0', 0],
    ['HumanEval_23_strlen', 23],
    ['HumanEval_23_2', 23],
    ['v2/task7', 7],
    ['2/none', null],
    ['none', null],
    ['', null],
    [null, null],
  ])('of %j is %j', (id, number) => {
    expect(taskNumber(id)).toBe(number);
  });

  test('is the one that was written, whatever stands before a slash and after the number', () => {
    const before = fc.string().map((text) => `${text}/`);
    const after = fc.string().filter((text) => !/^\d|\//.test(text));
    fc.assert(
      fc.property(fc.option(before, { nil: '' }), fc.nat(), after, (prefix, number, rest) => {
        expect(taskNumber(`${prefix}${number}${rest}`)).toBe(number);
      }),
    );
  });
});

describe('a split', () => {
  test.each([
    ['prompt', 1, 10],
    ['test', 11, 510],
    ['validation', 511, 600],
    ['train', 601, 974],
    ['11-510', 11, 510],
    ['7', 7, 7],
  ])('%s selects tasks %d to %d and no others', (text, first, last) => {
    const ids = Array.from({ length: 1200 }, (_, id) => id).filter((id) => selects(text, id));
    expect([ids[0], ids.at(-1), ids.length]).toEqual([first, last, last - first + 1]);
  });

  test("each of MBPP's tasks is in exactly one of its splits, however its id is written", () => {
    const written = fc.constantFrom<(id: number) => string>(
      (id) => `${id}`,
      (id) => `Mbpp/${id}`,
      (id) => `MBJP/${id}`,
      (id) => `MBPP_${id}_solve2`,
    );
    fc.assert(
      fc.property(written, fc.integer({ min: 1, max: 974 }), (write, id) => {
        const splits = ['prompt', 'test', 'validation', 'train'];
        const [own, ...others] = splits.filter((split) => selects(split, write(id)));
        expect(others).toEqual([]);
        expect(selects(own, id)).toBe(true);
      }),
    );
  });

  test('with commas selects what any of its parts selects', () => {
    const id = fc.integer({ min: 0, max: 1000 });
    const range = fc.tuple(id, id).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
    const part = fc.oneof(range, fc.constantFrom('train', 'test', 'prompt', 'validation', 'all'));
    fc.assert(
      fc.property(fc.array(part, { minLength: 1 }), id, (parts, number) => {
        expect(selects(parts.join(', '), number)).toBe(parts.some((text) => selects(text, number)));
      }),
    );
  });

  test('all selects rows without a number, and no other split does', () => {
    for (const id of [null, 'none'])
      expect([selects('all', id), selects('0-9999', id)]).toEqual([true, false]);
  });

  test.each(['', 'trian', '10-1', '1-', '-1', '1,', '1.5', 'constructor', '1-2-3'])('is not %j', (text) => {
    expect(readSplit(text)).toBeUndefined();
    expect(() => parseSplit(text)).toThrow(ConfigError);
  });

  test('that is misspelt is refused with the name that was meant', () => {
    expect(() => parseSplit('1-5, trian')).toThrow('got "1-5, trian", is it train?');
  });
});

describe('the rows that a split selects', () => {
  const rows = (...ids: (string | null)[]) =>
    ids.map((id, i) => ({ where: `a.jsonl:${i + 1}`, row: { id } }));
  const select = (split: string, ids: (string | null)[], format: Parameters<typeof selectRows>[2]) =>
    selectRows(rows(...ids), parseSplit(split), format, 'a.jsonl').map(({ row }) => row.id);

  test('are those whose number it names, in their order', () => {
    expect(select('2-9', ['10', '9', 'x/2', '1'], formats.plainText)).toEqual(['9', 'x/2']);
    expect(select('all', ['x', null], formats.plainText)).toEqual(['x', null]);
    expect(select('test,1', ['MBJP/1', 'MBJP/11', 'MBJP/600'], formats.mbxp)).toEqual(['MBJP/1', 'MBJP/11']);
  });

  test.each([
    ['no id', '1-2', ['1', null], formats.mbpp, 'a.jsonl:2: has no task_id, which split 1-2 needs; take all'],
    [
      'no number',
      'train',
      ['x'],
      formats.mbpp,
      'a.jsonl:1: has no number in its id x, which split train needs; take all',
    ],
    [
      'another kind of task',
      '1,train',
      ['1'],
      formats.plainText,
      "a.jsonl: split 1,train is one of MBPP's, and these are text rows; take all or a range of task ids",
    ],
    [
      "MBXP's format and not its tasks",
      'test',
      ['HumanEval/11'],
      formats.mbxp,
      "a.jsonl: split test is one of MBPP's, and these are mbxp rows; take all or a range of task ids",
    ],
    [
      'none of them',
      '511-600',
      ['601', '7'],
      formats.mbpp,
      'a.jsonl: split 511-600 selects no row; its task ids are 7 to 601',
    ],
  ])('are refused where there is %s', (_, split, ids, format, message) => {
    expect(() => select(split, ids, format)).toThrow(new DataError(message));
  });
});

test('the number of a task is found at once, however long its id', () => {
  const digits = '1'.repeat(100_000);
  const started = performance.now();
  expect(taskNumber(`${digits}/x`)).toBeNull();
  expect(taskNumber(`${digits}/MBPP_7_a8`)).toBe(7);
  expect(performance.now() - started).toBeLessThan(1000);
});
