import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import stringWidth from 'string-width';
import { expect, test } from 'vitest';
import { newTable } from './table.ts';
import { chalk, columnsOf, cutTo, fold } from './terminal.ts';
import { onTerminal } from './testing/screen.ts';

const word = fc.stringMatching(/^[a-z名é]{1,12}$/);
const line = fc.array(word, { maxLength: 20 }).map((words) => words.join(' '));

test('a folded text has its words, and no line that could be shorter', () => {
  fc.assert(
    fc.property(
      fc.array(line, { minLength: 1 }),
      fc.nat(6),
      fc.integer({ min: 1, max: 90 }),
      (lines, indent, columns) => {
        const text = lines.map((each) => `${' '.repeat(indent)}${each}`).join('\n');
        const folded = fold(text, columns);
        expect(folded.split(/\s+/).filter(Boolean)).toEqual(text.split(/\s+/).filter(Boolean));
        for (const part of folded.split('\n')) {
          expect(part.startsWith(' '.repeat(indent))).toBe(true);
          if (part.trim().includes(' ')) expect(stringWidth(part)).toBeLessThanOrEqual(columns);
        }
      },
    ),
  );
  expect(fold('a 12 % b (3 %)', 4)).toBe('a\n12 %\nb\n(3 %)');
  expect(fold('a %b', 3)).toBe('a\n%b');
  expect(fold(chalk.red('ab cd'), 2).split('\n').map(stripVTControlCharacters)).toEqual(['ab', 'cd']);
});

test('a cut text has no more columns, and is whole where there is room', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(40), (text, columns) => {
      const cut = cutTo(columns, text);
      expect(stringWidth(cut)).toBeLessThanOrEqual(columns);
      if (stringWidth(text) <= columns) expect(cut).toBe(text);
    }),
  );
});

test('what is no terminal has no width, and one that does not say has 80', () => {
  expect(columnsOf({ isTTY: false, columns: 40 })).toBe(Infinity);
  expect(columnsOf({ isTTY: true, columns: 0 })).toBe(80);
  expect(columnsOf({ isTTY: true, columns: 40 })).toBe(40);
});

/** A table's text at a width. */
const tableAt = async (columns: number | null, head: string[], rows: string[][]) => {
  const { stdout } = await onTerminal({ columns, colour: false }, () => {
    const table = newTable({ head });
    table.push(...rows);
    process.stdout.write(table.toString());
  });
  return stdout;
};

test('a table becomes narrower by folding its cells, then a paragraph a row', async () => {
  const [head, rows] = [['benchmark', 'pass@1'], [['human eval of Python', '50.00 %']]];
  expect(await tableAt(80, head, rows)).toBe(
    `
┌──────────────────────┬─────────┐
│ benchmark            │ pass@1  │
├──────────────────────┼─────────┤
│ human eval of Python │ 50.00 % │
└──────────────────────┴─────────┘`.trim(),
  );
  expect(await tableAt(23, head, rows)).toBe(
    `
┌───────────┬─────────┐
│ benchmark │ pass@1  │
├───────────┼─────────┤
│ human     │ 50.00 % │
│ eval of   │         │
│ Python    │         │
└───────────┴─────────┘`.trim(),
  );
  expect(await tableAt(20, head, rows)).toBe('benchmark: human\neval of Python\n  pass@1: 50.00 %');
  expect(await tableAt(18, [], [['a long name', 'value', 'x']])).toBe('a long name:\nvalue, x');
});

test('a table has every word at every width, and is no wider where words are not', async () => {
  const rows = fc
    .integer({ min: 1, max: 5 })
    .chain((n) => fc.array(fc.array(line, { minLength: n, maxLength: n }), { minLength: 1, maxLength: 5 }));
  await fc.assert(
    fc.asyncProperty(rows, fc.integer({ min: 20, max: 120 }), async (cells, columns) => {
      const text = await tableAt(columns, [], cells);
      // A word may be wider than the terminal by itself.
      for (const shown of text.split('\n').filter((each) => each.trim().includes(' '))) {
        expect(stringWidth(shown)).toBeLessThanOrEqual(columns);
      }
      const words = (all: string) =>
        all
          .split(/[^a-z名é]+/)
          .filter(Boolean)
          .sort();
      expect(words(text)).toEqual(words(cells.flat().join(' ')));
    }),
    { numRuns: 50 },
  );
});
