import type { JsonPart } from './json-splitter.ts';

/** Takes a text in chunks and gives its lines, each as soon as it is whole, but for those that are blank. */
export interface LineSplitter {
  push(chunk: Buffer): JsonPart[];
  /** The last line, if it has no end and is not blank. */
  end(): JsonPart[];
  /** The line that comes next, or is not yet whole. */
  readonly line: number;
  /** Bytes kept of a line that is not yet whole. */
  readonly heldBytes: number;
}

/**
 * Splits at \n alone: JSON text may hold line separators of Unicode. Blanks before a line's text are left
 * out.
 */
export function newLineSplitter(): LineSplitter {
  let line = 1;
  let held: Buffer[] = [];
  let heldBytes = 0;

  /** Where the next text begins. */
  function skipBlanks(chunk: Buffer, from: number): number {
    let at = from;
    for (; at < chunk.length && isBlank(chunk[at]); at++) if (chunk[at] === 10) line++;
    return at;
  }

  return {
    push(chunk) {
      const whole: JsonPart[] = [];
      let from = held.length === 0 ? skipBlanks(chunk, 0) : 0;
      for (let to = chunk.indexOf(10, from); to >= 0; to = chunk.indexOf(10, from)) {
        whole.push({ bytes: Buffer.concat([...held, chunk.subarray(from, to)]), line });
        held = [];
        heldBytes = 0;
        from = skipBlanks(chunk, to);
      }
      if (from < chunk.length) held.push(chunk.subarray(from));
      heldBytes += chunk.length - from;
      return whole;
    },
    end: () => (held.length === 0 ? [] : [{ bytes: Buffer.concat(held), line }]),
    get line() {
      return line;
    },
    get heldBytes() {
      return heldBytes;
    },
  };
}

/** Whether the byte is a space, a tab, \r or \n. */
export function isBlank(byte: number): boolean {
  return byte === 32 || byte === 10 || byte === 13 || byte === 9;
}
