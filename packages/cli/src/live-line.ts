import { printable } from '@flex/base';
import stringWidth from 'string-width';
import { environment } from './environment.ts';
import { chalkStderr, columnsOf, cutTo, fold } from './terminal.ts';

/** How far something is: one live line on a terminal, a plain line now and then elsewhere. */
export interface LiveLine {
  /**
   * What is shown of it, in words, made printable. Where there is no room for all, the bar is left out first,
   * then words from the last but one backwards: the first says what, the last how long.
   */
  show(done: number, total: number, words: readonly string[]): void;
  /** A line of its own, above the live one, made printable. */
  line(text: string): void;
  /** Leaves the last words standing. */
  stop(): void;
}

/** On standard error; with --quiet nothing. */
export function newLiveLine(quiet: boolean): LiveLine {
  if (quiet) return { show: () => {}, line: () => {}, stop: () => {} };
  return process.stderr.isTTY && environment.isInteractive ? liveLine() : plainLine();
}

const barCells = 20;

/** The line in so many columns. */
export function liveText(share: number, words: readonly string[], columns: number): string {
  const text = words.join('  ');
  if (stringWidth(text) + barCells + 1 <= columns) {
    const done = Math.round(share * barCells);
    return `${chalkStderr.cyan('━'.repeat(done) + '─'.repeat(barCells - done))} ${text}`;
  }
  if (stringWidth(text) <= columns || words.length <= 2) return cutTo(columns, text);
  return liveText(share, words.toSpliced(-2, 1), columns);
}

/** The live line that is shown: there is one cursor. */
let shown: { readonly erase: () => void; readonly draw: () => void } | null = null;

/** Writes to standard output or standard error, where a live line makes room and comes back below. */
export function write(stream: NodeJS.WriteStream, text: string): void {
  const beside = stream.isTTY ? shown : null;
  beside?.erase();
  stream.write(text);
  if (text.endsWith('\n')) beside?.draw();
}

/**
 * The cursor waits at the beginning of the line, visible: so nothing has to be restored however the process
 * ends, and a window that changes its size leaves nothing of the line behind.
 */
function liveLine(): LiveLine {
  const out = process.stderr;
  let share = 0;
  let words: readonly string[] = [];
  let drawn = Number.NEGATIVE_INFINITY;
  // The last column stays free: some terminals begin a new line there.
  const text = () => liveText(share, words, columnsOf(out) - 1);
  // To the screen's end: also what a narrower window has folded of the line. Before it may stand ^C.
  const erase = () => void out.write('\r\u001b[J');
  const draw = () => {
    drawn = performance.now();
    erase();
    out.write(`${text()}\r`);
  };
  return {
    show(done, total, said) {
      if (words.length === 0) out.on('resize', draw);
      share = total > 0 ? done / total : 1;
      words = said.map(printable);
      shown = { erase, draw };
      if (performance.now() - drawn >= 100 || done === total) draw();
    },
    line,
    stop() {
      if (words.length === 0) return;
      erase();
      out.write(`${text()}\n`);
      out.off('resize', draw);
      words = [];
      shown = null;
    },
  };
}

/** A line at first, then at most every two seconds where it says something new, and at the last. */
function plainLine(): LiveLine {
  let last = Number.NEGATIVE_INFINITY;
  let said = '';
  return {
    show(done, total, words) {
      const now = performance.now();
      const text = printable(words.join('  '));
      if (text === said || (now - last < 2000 && done !== total)) return;
      last = now;
      said = text;
      process.stderr.write(`${text}\n`);
    },
    line,
    stop() {},
  };
}

function line(text: string): void {
  write(process.stderr, `${fold(printable(text), columnsOf(process.stderr))}\n`);
}
