import { closeSync, mkdtempSync, openSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Descriptors of the files that hold these bytes, once a box has had them; null before. */
const files = new WeakMap<Uint8Array, number | null>();
/** Closes the files of bytes that nobody holds any more. */
const forgotten = new FinalizationRegistry(closeSync);

/** Bytes that many boxes get as a file: they open one that is written once, instead of a pipe each. */
export function constantFile(content: string | Uint8Array): Uint8Array {
  const bytes = Buffer.from(content);
  files.set(bytes, null);
  return bytes;
}

/**
 * A new descriptor, at the beginning, of the file of a constant; null for what is none. The caller closes it.
 */
export function openConstant(content: string | Uint8Array): number | null {
  if (typeof content === 'string' || !files.has(content)) return null;
  const file = files.get(content) ?? write(content);
  if (files.get(content) === null) forgotten.register(content, file);
  files.set(content, file);
  return openSync(`/proc/self/fd/${file}`, 'r');
}

/** A file without a name. */
function write(content: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'flex-'));
  const path = join(folder, 'constant');
  writeFileSync(path, content, { mode: 0o400, flag: 'wx' });
  const file = openSync(path, 'r');
  unlinkSync(path);
  rmdirSync(folder);
  return file;
}
