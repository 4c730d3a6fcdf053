import { closeSync, fstatSync, read, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { DataError, maxTextBytes, maxTextSize, openRegular } from '@flex/base';

/** Takes the lines of a file. */
export interface LineTaker {
  /** The file is another one, or lines were taken back: what was taken before is void. */
  restart(): void;
  /** The next whole line, from 1. */
  line(text: string, number: number): void;
}

/** A file that is appended to, and now and then cut or replaced. */
export interface FollowedLines {
  /** When it was last written to, in milliseconds since 1970; null where it is not there. */
  readonly written: number | null;
  /**
   * Takes what there is since the last time; false where the file is as it was. Throws DataError for what is
   * no file of lines, and what `line` throws, once; the file is read anew when it has changed.
   */
  poll(): Promise<boolean>;
}

const pieceBytes = 1 << 18;
/** Bytes before the offset by which a file that was cut and has grown again is told. */
const tailBytes = 256;

const readAsync = promisify(read);

/**
 * Follows a file by offset: each byte is read once, a piece at a time with room for other work between them.
 * A last line without its end is not taken until it has one.
 */
export function followLines(path: string, taker: LineTaker): FollowedLines {
  let seen = { ino: 0, size: -1, mtimeMs: 0 };
  let written: number | null = null;
  let offset = 0;
  let lines = 0;
  let tail = Buffer.alloc(0);
  /** Whether a line was refused, so that where to go on is not known. */
  let isBroken = false;
  const restart = () => {
    offset = 0;
    lines = 0;
    tail = Buffer.alloc(0);
    taker.restart();
  };
  const take = async (file: number) => {
    for (let size = pieceBytes; ; ) {
      const piece = await readAt(file, offset, size);
      const end = piece.lastIndexOf(10) + 1;
      if (end > 0) {
        let from = 0;
        for (let to = piece.indexOf(10); to >= 0 && from < end; to = piece.indexOf(10, from)) {
          taker.line(piece.toString('utf8', from, to), ++lines);
          from = to + 1;
        }
        offset += end;
        tail = Buffer.concat([tail, piece.subarray(Math.max(0, end - tailBytes), end)]).subarray(-tailBytes);
      }
      if (piece.length < size) return;
      if (end > 0) continue;
      if (size > maxTextBytes) throw new DataError(`${path}:${lines + 1}: is longer than ${maxTextSize}`);
      size *= 2;
    }
  };
  return {
    get written() {
      return written;
    },
    async poll() {
      const there = statSync(path, { throwIfNoEntry: false });
      written = there?.mtimeMs ?? null;
      if (!there) {
        const wasThere = seen.size >= 0;
        if (wasThere) restart();
        seen = { ino: 0, size: -1, mtimeMs: 0 };
        return wasThere;
      }
      const { ino, size, mtimeMs } = there;
      if (ino === seen.ino && size === seen.size && mtimeMs === seen.mtimeMs) return false;
      const file = openRegular(path);
      try {
        const isOther = seen.size >= 0 && fstatSync(file).ino !== seen.ino;
        const before = await readAt(file, offset - tail.length, tail.length);
        if (isOther || isBroken || !before.equals(tail)) restart();
        seen = { ino, size, mtimeMs };
        isBroken = true;
        await take(file);
        isBroken = false;
        return true;
      } finally {
        closeSync(file);
      }
    },
  };
}

async function readAt(file: number, position: number, length: number): Promise<Buffer> {
  if (length === 0) return Buffer.alloc(0);
  const { bytesRead, buffer } = await readAsync(file, Buffer.allocUnsafe(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}
