import { closeSync, fsyncSync, ftruncateSync, readSync } from 'node:fs';
import { DataError } from './errors.ts';
import { maxTextBytes, maxTextSize, openOwnFile, openRegular } from './files.ts';
import { parseJson } from './parse-json.ts';
import { onDisk, writeAll } from './write-atomic.ts';

/** A line of a file. */
export interface Line {
  readonly bytes: Buffer;
  /** `path:line`, as messages begin. */
  readonly where: string;
  /** Bytes of the file up to and with this line. */
  readonly end: number;
  /** Whether it has its end, which a crash may have left out of a last one. */
  readonly whole: boolean;
}

/** A line of a file of JSON Lines. */
export interface JsonLine extends Pick<Line, 'where' | 'end'> {
  readonly value: unknown;
}

const pieceBytes = 1 << 20;

/**
 * The lines of a file, read a MiB at a time. Throws DataError, which begins with `path:line`, for one of more than
 * maxTextBytes, and what openRegular throws.
 */
export function* readLines(path: string): Generator<Line> {
  const file = openRegular(path);
  try {
    yield* linesOf(file, path);
  } finally {
    closeSync(file);
  }
}

function* linesOf(file: number, path: string): Generator<Line> {
  let line = 1;
  let end = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;
  const take = (last: Buffer, whole: boolean): Line => {
    const bytes = Buffer.concat([...held, last]);
    end += bytes.length + Number(whole);
    held = [];
    heldBytes = 0;
    return { bytes, where: `${path}:${line++}`, end, whole };
  };
  let at = 0;
  for (let piece = readPiece(file, at); piece.length > 0; piece = readPiece(file, at)) {
    at += piece.length;
    let from = 0;
    for (let to = piece.indexOf(10); to >= 0; to = piece.indexOf(10, from)) {
      yield take(piece.subarray(from, to), true);
      from = to + 1;
    }
    held.push(piece.subarray(from));
    heldBytes += piece.length - from;
    if (heldBytes > maxTextBytes) throw new DataError(`${path}:${line}: is longer than ${maxTextSize}`);
  }
  if (heldBytes > 0) yield take(Buffer.alloc(0), false);
}

function readPiece(file: number, at: number): Buffer {
  const piece = Buffer.allocUnsafe(pieceBytes);
  return piece.subarray(0, readSync(file, piece, 0, pieceBytes, at));
}

/**
 * The whole lines of a file of JSON Lines. A last one without its end, as a crash leaves, is none. Throws
 * what readLines throws, and DataError, which begins with `path:line`, for a line that is not JSON.
 */
export function* readJsonLines(path: string): Generator<JsonLine> {
  yield* valuesOf(readLines(path));
}

function* valuesOf(lines: Iterable<Line>): Generator<JsonLine> {
  for (const { bytes, where, end, whole } of lines) {
    if (whole) yield { value: parseJson(bytes.toString(), where), where, end };
  }
}

/** A file of JSON Lines that is only ever appended to, so that whatever was written survives a crash. */
export interface JsonLog {
  /** Appends the values, a line each, to outlive this process. Once it has failed it only throws. */
  append(...values: readonly unknown[]): void;
  /** Lets what was appended outlive a power cut too. */
  sync(): void;
  close(): void;
}

/**
 * Opens the file to append to, makes it where there is none, and gives each of its lines to `read`, which throws
 * for what it does not know, and says false of the first that is to be taken off the file with all after
 * it. A torn last line is taken off too. A null path keeps nothing. Throws what `openOwnFile` and
 * `readJsonLines` throw.
 */
export function openJsonLog(path: string | null, read: (line: JsonLine) => unknown): JsonLog {
  if (path === null) return { append() {}, sync() {}, close() {} };
  const file = openOwnFile(path);
  try {
    let end = 0;
    for (const line of valuesOf(linesOf(file, path))) {
      if (read(line) === false) break;
      end = line.end;
    }
    onDisk(path, () => ftruncateSync(file, end));
  } catch (error) {
    closeSync(file);
    throw error;
  }
  let failure: unknown;
  return {
    append(...values) {
      if (failure) throw failure;
      try {
        onDisk(path, () => writeAll(file, values.map((value) => `${JSON.stringify(value)}\n`).join('')));
      } catch (error) {
        failure = error;
        throw error;
      }
    },
    sync: () => onDisk(path, () => fsyncSync(file)),
    close: () => closeSync(file),
  };
}
