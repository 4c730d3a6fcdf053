/** Looks for a line in a stream. */
export interface LineFinder {
  push(chunk: Buffer): void;
  readonly found: boolean;
}

/** Finds a line that is exactly this short ASCII text; the stream's first line does not count. */
export function findLine(line: string): LineFinder {
  const wanted = Buffer.from(`\n${line}\n`);
  let held = Buffer.alloc(0);
  let found = false;
  return {
    push(chunk) {
      if (found) return;
      const bytes = Buffer.concat([held, chunk]);
      found = bytes.includes(wanted);
      held = Buffer.from(bytes.subarray(Math.max(0, bytes.length - wanted.length + 1)));
    },
    get found() {
      return found;
    },
  };
}
