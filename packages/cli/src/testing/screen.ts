import { stripVTControlCharacters } from 'node:util';
import stringWidth from 'string-width';
import { vi } from 'vitest';
import { main } from '../main.ts';
import { chalk, chalkStderr } from '../terminal.ts';

/** What a terminal of so many columns shows in the end. */
export interface Screen {
  /** Its lines, without what colours them and without spaces at their ends. */
  readonly lines: readonly string[];
  /** Those that were too long for a line of it and went on in the next. */
  readonly tooLong: readonly string[];
  /** All that was written. */
  readonly raw: string;
}

const esc = '\u001b';
const pieces = new RegExp(`${esc}\\[[\\d;?]*[A-Za-z]|[^${esc}]`, 'gsu');

/** Plays what a program writes: characters of width 1 and 2, `\r`, `\n`, colours, and erasing from the cursor on. */
export function play(raw: string, columns: number): Screen {
  const rows: string[][] = [[]];
  const tooLong: string[] = [];
  let [row, column, start] = [0, 0, 0];
  const step = () => {
    row++;
    rows[row] ??= [];
  };
  for (const piece of raw.match(pieces) ?? []) {
    if (piece === '\n') {
      if (row > start) tooLong.push(rows.slice(start).flat().join(''));
      step();
      [column, start] = [0, row];
    } else if (piece === '\r') column = 0;
    else if (piece === `${esc}[J`) {
      rows.length = row + 1;
      rows[row].length = column;
    } else if (piece.startsWith(esc) && piece.endsWith('m')) continue;
    else if (piece.startsWith(esc)) throw new Error(`${JSON.stringify(piece)} is not played`);
    else {
      const width = stringWidth(piece);
      if (column + width > columns) {
        step();
        column = 0;
      }
      for (let i = rows[row].length; i < column; i++) rows[row][i] = ' ';
      rows[row][column] = piece;
      for (let i = 1; i < width; i++) rows[row][column + i] = '';
      column += width;
    }
  }
  const lines = rows.map((cells) => cells.join('').trimEnd());
  if (lines.at(-1) === '') lines.pop();
  return { lines, tooLong, raw };
}

export interface TerminalOptions {
  /** Null: no terminal, but a pipe. */
  readonly columns: number | null;
  readonly colour: boolean;
}

/** Runs what writes as on a terminal: what both streams showed, in order, and each alone. */
export async function onTerminal<T>(
  { columns, colour }: TerminalOptions,
  run: () => T | Promise<T>,
): Promise<{ result: T; screen: Screen; stdout: string; stderr: string }> {
  const written = { both: '', stdout: '', stderr: '' };
  const before = [chalk.level, chalkStderr.level] as const;
  const level = colour ? 1 : 0;
  chalk.level = level;
  chalkStderr.level = level;
  vi.stubEnv('CI', '');
  vi.stubEnv('TERM', 'xterm');
  const restore = (['stdout', 'stderr'] as const).flatMap((name) => {
    const stream = process[name];
    const spy = vi.spyOn(stream, 'write').mockImplementation((text) => {
      written[name] += String(text);
      written.both += String(text);
      return true;
    });
    const kept = { isTTY: stream.isTTY, columns: stream.columns };
    Object.assign(stream, { isTTY: columns !== null, columns: columns ?? undefined });
    return [() => spy.mockRestore(), () => void Object.assign(stream, kept)];
  });
  try {
    const result = await run();
    const { both, stdout, stderr } = written;
    return { result, screen: play(both, columns ?? Infinity), stdout, stderr };
  } finally {
    for (const undo of restore) undo();
    [chalk.level, chalkStderr.level] = before;
    vi.unstubAllEnvs();
  }
}

/** Runs a command on a terminal of so many columns. */
export async function flexOn(options: TerminalOptions, args: readonly string[]) {
  const { result: code, ...shown } = await onTerminal(options, () => main(args));
  return { code, ...shown };
}

/** Whether a line could be folded: it has a space, beyond its indent and margin, within the columns. */
export function isFoldable(line: string, columns: number): boolean {
  return stripVTControlCharacters(line).trimStart().slice(0, columns).includes(' ');
}
