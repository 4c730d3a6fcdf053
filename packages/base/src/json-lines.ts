import { closeSync, openSync, readSync, truncateSync } from 'node:fs';
import { DataError } from './errors.ts';
import { oneLine } from './one-line.ts';
import { writeAll } from './write-atomic.ts';

/** A line of a file of JSON Lines. */
export interface JsonLine {
  readonly value: unknown;
  /** `path:line`, as messages begin. */
  readonly where: string;
  /** Bytes of the file up to and with this line. */
  readonly end: number;
}

const pieceBytes = 1 << 20;

/**
 * The whole lines of a file of JSON Lines, read a MiB at a time. A last one without its end, as a crash
 * leaves, is none. Throws DataError, which begins with `path:line`, for a line that is not JSON.
 */
export function* readJsonLines(path: string): Generator<JsonLine> {
  const file = openSync(path, 'r');
  try {
    let line = 0;
    let end = 0;
    let held: Buffer[] = [];
    for (let piece = readPiece(file); piece.length > 0; piece = readPiece(file)) {
      let from = 0;
      for (let to = piece.indexOf(10); to >= 0; to = piece.indexOf(10, from)) {
        const bytes = Buffer.concat([...held, piece.subarray(from, to)]);
        const where = `${path}:${++line}`;
        end += bytes.length + 1;
        yield { value: parseJson(bytes.toString(), where), where, end };
        held = [];
        from = to + 1;
      }
      held.push(piece.subarray(from));
    }
  } finally {
    closeSync(file);
  }
}

function readPiece(file: number): Buffer {
  const piece = Buffer.allocUnsafe(pieceBytes);
  return piece.subarray(0, readSync(file, piece));
}

/** The value of a JSON text. Throws DataError, which begins with `where`, for a text that is none. */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    // V8 quotes the text, line breaks included.
    throw new DataError(`${where}: is not JSON: ${oneLine((cause as Error).message)}`, { cause });
  }
}

/** A file of JSON Lines that is only ever appended to, so that whatever was written survives a crash. */
export interface JsonLog {
  /** Appends the values, a line each, to outlive this process. Once it has failed it only throws. */
  append(...values: readonly unknown[]): void;
  close(): void;
}

/**
 * Opens the file to append to, makes it where there is none, and gives each of its lines to `read`, which throws
 * for what it does not know. A torn last line is taken off the file. A null path keeps nothing. Throws what
 * `readJsonLines` throws.
 */
export function openJsonLog(path: string | null, read: (line: JsonLine) => void): JsonLog {
  if (path === null) return { append() {}, close() {} };
  const file = openSync(path, 'a');
  try {
    let end = 0;
    for (const line of readJsonLines(path)) {
      read(line);
      end = line.end;
    }
    truncateSync(path, end);
  } catch (error) {
    closeSync(file);
    throw error;
  }
  let failure: unknown;
  return {
    append(...values) {
      if (failure) throw failure;
      try {
        writeAll(file, values.map((value) => `${JSON.stringify(value)}\n`).join(''));
      } catch (error) {
        failure = error;
        throw error;
      }
    },
    close: () => closeSync(file),
  };
}
