import chalk, { chalkStderr } from 'chalk';
import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';
import { environment } from './environment.ts';

// chalk knows FORCE_COLOR, CI and what is a terminal, but not no-color.org.
if (environment.noColor) {
  chalk.level = 0;
  chalkStderr.level = 0;
}

export { chalk, chalkStderr };

/** Columns of a terminal; Infinity for a pipe and a file, in which lines are as long as they are. */
export function columnsOf({ isTTY, columns }: Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>): number {
  return isTTY ? columns || 80 : Infinity;
}

/**
 * A text whose lines are folded between words to so many columns, each part indented as its line is. What has
 * no space stays whole: a path, a name.
 */
export function fold(text: string, columns: number): string {
  if (columns === Infinity) return text;
  return text
    .split('\n')
    .map((line) => (stringWidth(line) <= columns ? line : foldLine(line, columns)))
    .join('\n');
}

function foldLine(line: string, columns: number): string {
  const [indent] = /^ */.exec(line)!;
  const room = Math.max(columns - indent.length, 1);
  // A number keeps its %.
  return wrapAnsi(line.slice(indent.length).replaceAll(/ %(?![\p{L}\p{N}%])/gu, '\u00a0%'), room, {
    hard: false,
  })
    .replaceAll('\u00a0%', ' %')
    .split('\n')
    .map((part) => `${indent}${part}`)
    .join('\n');
}

/** A text of one line in so many columns, its end cut off where it is longer. */
export function cutTo(columns: number, text: string): string {
  if (stringWidth(text) <= columns) return text;
  let cut = '';
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    if (stringWidth(cut + segment) >= columns) break;
    cut += segment;
  }
  return columns > 0 ? `${cut}…` : '';
}
