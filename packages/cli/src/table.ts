import Table from 'cli-table3';
import stringWidth from 'string-width';
import { chalk, columnsOf, fold } from './terminal.ts';

type Cell = string | number;

export interface TableOptions {
  readonly head?: readonly string[];
  readonly colAligns?: readonly Table.HorizontalAlignment[];
}

/** A table in the house's style; `toString` writes it for standard output as it is then. */
export interface TextTable {
  readonly length: number;
  push(...rows: readonly (readonly Cell[])[]): void;
  toString(): string;
}

/** Columns of a cell at most: a longer text is folded. */
const widest = 96;

/**
 * A table without colour where standard output takes none. Where a terminal has no room, its cells are folded
 * between words; where that is not enough, each row becomes a paragraph.
 */
export function newTable({ head = [], colAligns = [] }: TableOptions = {}): TextTable {
  const rows: string[][] = [];
  return {
    get length() {
      return rows.length;
    },
    push: (...more) => void rows.push(...more.map((row) => row.map(String))),
    toString() {
      const columns = columnsOf(process.stdout);
      const widths = columnWidths(head.length > 0 ? [head, ...rows] : rows, columns);
      return widths ? grid(head, rows, { widths, colAligns }) : paragraphs(head, rows, columns);
    },
  };
}

/** The widths of a table's columns, their margins aside, in so many columns; null where there is no room. */
function columnWidths(rows: readonly (readonly string[])[], columns: number): number[] | null {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const needed = Array.from({ length: count }, (_, i) => {
    const cells = rows.map((row) => row[i] ?? '');
    const longest = (texts: readonly string[]) => Math.max(0, ...texts.map((text) => stringWidth(text)));
    const words = longest(cells.flatMap((cell) => cell.split(/ (?!%(?![\p{L}\p{N}%]))|\n/u)));
    return {
      words,
      whole: Math.max(words, Math.min(widest, longest(cells.flatMap((cell) => cell.split('\n'))))),
    };
  });
  const room = columns - 1 - 3 * count;
  const sum = (widths: readonly number[]) => widths.reduce((total, width) => total + width, 0);
  const cappedAt = (most: number) => needed.map(({ words, whole }) => Math.max(words, Math.min(whole, most)));
  let most = widest;
  while (most > 0 && sum(cappedAt(most)) > room) most--;
  return most > 0 ? cappedAt(most) : null;
}

function grid(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { widths, colAligns }: { widths: readonly number[]; colAligns: readonly Table.HorizontalAlignment[] },
): string {
  const folded = (row: readonly string[]) => row.map((cell, i) => fold(cell, widths[i]));
  const table = new Table({
    head: folded(head),
    colAligns: [...colAligns],
    style: { head: [], border: chalk.level > 0 ? ['dim'] : [] },
  });
  table.push(...rows.map(folded));
  return table.toString();
}

/**
 * A row's first cell, and beneath it the others, each with the head of its column; without heads, its cells
 * in a line.
 */
function paragraphs(head: readonly string[], rows: readonly (readonly string[])[], columns: number): string {
  const labelled = (cell: string, i: number) => (head[i] ? `${head[i]}: ${cell}` : cell);
  const texts = rows.map(([first, ...others]) => {
    if (head.length === 0) return [`${first}: ${others.join(', ').replaceAll('\n', ' ')}`];
    const inner = others.map((cell, i) => (cell === '' ? '' : labelled(cell, i + 1))).filter(Boolean);
    return [
      head[0] ? `${head[0]}: ${first}` : first,
      ...inner.map((text) => `  ${text.replaceAll('\n', ' ')}`),
    ];
  });
  return texts.map((lines) => fold(lines.join('\n'), columns)).join('\n');
}
