import { createReadStream } from 'node:fs';
import { type FileHandle, open, truncate } from 'node:fs/promises';

/** A file of JSON Lines that is only ever appended to, so that whatever was written survives a crash. */
export interface AppendLog {
  /** Resolves when the values are written, a line each. After a write that failed there are no more. */
  append(values: readonly unknown[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the file, makes it if it is not there, and gives each of its lines with its number to `read`, which
 * throws for what it does not know. A last line without an end was torn off as it was written: it is dropped,
 * from the file too. A null path keeps nothing.
 */
export async function openAppendLog(
  path: string | null,
  read: (json: string, line: number) => void,
): Promise<AppendLog> {
  if (path === null) return { append: async () => {}, close: async () => {} };
  const file: FileHandle = await open(path, 'a');
  try {
    await truncate(path, await readLines(path, read));
  } catch (error) {
    await file.close();
    throw error;
  }
  let written = Promise.resolve();
  return {
    append(values) {
      const lines = values.map((value) => `${JSON.stringify(value)}\n`).join('');
      written = written.then(() => file.appendFile(lines));
      return written;
    },
    close: () => file.close(),
  };
}

/** Reads the whole lines; gives the byte at which the last of them ends. */
async function readLines(path: string, read: (json: string, line: number) => void): Promise<number> {
  let held: Buffer[] = [];
  let line = 1;
  let end = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let to = chunk.indexOf(10); to >= 0; to = chunk.indexOf(10, from)) {
      const bytes = Buffer.concat([...held, chunk.subarray(from, to)]);
      read(bytes.toString(), line++);
      held = [];
      end += bytes.length + 1;
      from = to + 1;
    }
    held.push(chunk.subarray(from));
  }
  return end;
}
