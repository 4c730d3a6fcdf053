import { randomUUID } from 'node:crypto';
import {
  existsSync,
  linkSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { commandLine } from './command-line.ts';
import { BusyError, ConfigError, DataError } from './errors.ts';
import { makeFolder } from './make-folder.ts';
import { oneLine } from './one-line.ts';
import { parseJson } from './parse-json.ts';
import { hasEnded, thisProcess } from './process-identity.ts';

/** The right to write into a folder, which one process has at a time. */
export interface FolderLock {
  /** Tells of a process that had the lock and ended without giving it back; null where there was none. */
  readonly note: string | null;
  /**
   * Gives the lock back, unless it is there no more or is another's. The folder goes too where it was made
   * for the lock and is empty.
   */
  release(): void;
}

const lockName = '.lock';

/** Whether a name in a folder is that of its lock, or of what is there while it is taken. */
export function isLockFile(name: string): boolean {
  return name === lockName || name.startsWith(`${lockName}.`);
}

/** Bytes of a lock at most. */
const mostBytes = 1 << 16;

const holderSchema = z.object({
  /** Of this lock, and of no other. */
  id: z.uuid(),
  pid: z.int().min(1),
  host: z.string(),
  system: z.string(),
  started: z.int().nullable(),
  command: z.string(),
  since: z.iso.datetime(),
});
type Holder = z.infer<typeof holderSchema>;

/**
 * The right to write into a folder, which is made where it is not there: of all processes, and of all calls
 * in one process, at most one has it. It is a file in the folder that says who has it, and excludes those who
 * ask for it, no others. A process that is killed leaves it, and the next one that sees that the process has
 * ended takes it over. Who cannot see that, on another machine, in another container or after the machine was
 * started anew, takes nothing over.
 *
 * Throws BusyError, one line that names the process, where another has the lock; ConfigError where it cannot
 * be seen whether that has ended, and where the folder cannot be made, written to or locked: the file system
 * must have hard links.
 */
export function lockFolder(path: string): FolderLock {
  return lock(path, path);
}

/**
 * The right to write one file, as `lockFolder` gives that of a folder: its lock is in a folder beside it that is
 * there as long as the lock. Throws what `lockFolder` does, and DataError where the file's own folder is not there.
 */
export function lockFile(path: string): FolderLock {
  const folder = dirname(path);
  if (!existsSync(folder)) throw new DataError(`${path}: cannot be written: there is no folder ${folder}`);
  const beside = join(folder, `.${basename(path)}.lock`);
  const { note, release } = lock(beside, path);
  return {
    note,
    release() {
      release();
      // Also where a process that was killed had left it.
      removeEmpty([beside]);
    },
  };
}

/** Locks a folder, of which messages speak as `name`. */
function lock(path: string, name: string): FolderLock {
  const holder = newHolder();
  const text = `${JSON.stringify(holder)}\n`;
  const made: string[] = [];
  try {
    const before = acquire(path, { id: holder.id, text, made, name });
    return {
      note: before && `${name}: its lock was of ${describe(before)}, which has ended; it is taken over`,
      release() {
        const file = join(path, lockName);
        if (textOf(file) === text) rmSync(file, { force: true });
        removeEmpty(made);
      },
    };
  } catch (error) {
    removeEmpty(made);
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    throw new ConfigError(`${name}: cannot be locked: ${error.message}`, { cause: error });
  }
}

/** Whether a process of this machine that goes on has the lock of a folder. Never takes it. */
export function isLocked(path: string): boolean {
  const holder = holderOf(textOf(join(path, lockName)) ?? '');
  return holder !== null && hasEnded(holder) === false;
}

function newHolder(): Holder {
  const command = oneLine(commandLine().join(' '));
  return { id: randomUUID(), ...thisProcess(), command, since: new Date().toISOString() };
}

/** Takes the lock; puts the folders that it makes among those that are made. Gives who had it before. */
function acquire(
  folder: string,
  { id, text, made, name }: { id: string; text: string; made: string[]; name: string },
) {
  made.unshift(...makeFolder(folder));
  const draft = join(folder, `${lockName}.${id}.draft`);
  try {
    // Who gives a lock back may have removed the folder meanwhile.
    for (let tries = 1; tries < 100 && !isWritten(draft, text); tries++) made.unshift(...makeFolder(folder));
    removeDrafts(folder);
    return take(folder, lockName, draft, name);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Removes the drafts of processes that were killed before they did. */
function removeDrafts(folder: string): void {
  const drafts = readdirSync(folder).filter((name) => isLockFile(name) && name.endsWith('.draft'));
  for (const file of drafts.map((name) => join(folder, name))) {
    const holder = holderOf(textOf(file) ?? '');
    if (holder && hasEnded(holder)) rmSync(file, { force: true });
  }
}

/**
 * Makes a file of the folder a hard link of the draft, so that it appears with its content. Where it is there
 * and its process has ended, it is replaced by a claim on it: a file named after its id, which is taken in
 * the same way. So one at a time has the claim, and once one has replaced the file, the claims of those who
 * saw the old one are on nothing. Gives who had the file. Throws what `lockFolder` does where a process has
 * it, or the claim.
 */
function take(folder: string, entry: string, draft: string, name: string): Holder | null {
  const file = join(folder, entry);
  for (;;) {
    if (isLinked(draft, file)) return null;
    const text = textOf(file);
    if (text === null) continue;
    const holder = holderOf(text);
    if (!holder) throw new ConfigError(`${file}: is no lock of flex; remove it, or take another folder`);
    const isOver = hasEnded(holder);
    if (isOver === null) throw new ConfigError(refusal(folder, holder, name));
    if (!isOver) throw new BusyError(refusal(folder, holder, name));
    const claim = `${lockName}.${holder.id}`;
    take(folder, claim, draft, name);
    try {
      if (textOf(file) === text) {
        renameSync(join(folder, claim), file);
        return holder;
      }
    } finally {
      rmSync(join(folder, claim), { force: true });
    }
  }
}

/** Writes a draft; false where its folder was removed meanwhile. */
function isWritten(draft: string, text: string): boolean {
  return unless('ENOENT', () => writeFileSync(draft, text, { flag: 'wx', flush: true }));
}

/** Makes a hard link; false where its name is taken. */
function isLinked(draft: string, file: string): boolean {
  return unless('EEXIST', () => linkSync(draft, file));
}

/** Does it; false where that fails with this code. */
function unless(code: string, action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === code) return false;
    throw error;
  }
}

/** The text of a lock; empty for what can be none, such as a link; null where nothing is there. */
function textOf(file: string): string | null {
  try {
    const stats = lstatSync(file);
    return stats.isFile() && stats.size <= mostBytes ? readFileSync(file, 'utf8') : '';
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}

function holderOf(text: string): Holder | null {
  try {
    return holderSchema.safeParse(parseJson(text, lockName)).data ?? null;
  } catch (error) {
    if (error instanceof DataError) return null;
    throw error;
  }
}

/** Removes those of the folders that are empty. */
function removeEmpty(folders: readonly string[]): void {
  for (const folder of folders) {
    try {
      rmdirSync(folder);
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw error;
    }
  }
}

function refusal(folder: string, holder: Holder, name: string): string {
  const advice =
    hasEnded(holder) === null
      ? `whether it has ended cannot be seen from here: if it has, remove ${join(folder, lockName)}`
      : `wait until it ends, or ${folder === name ? 'take another folder' : 'name another file'}`;
  return `${name}: is being written into by ${describe(holder)}; ${advice}`;
}

/** `process 12 on HOST (flex train a.yaml, since 2026-11-22 06:30:05 UTC)` */
function describe({ pid, host, since, command }: Holder): string {
  const time = since.slice(0, 19).replace('T', ' ');
  return `process ${pid} on ${oneLine(host)} (${oneLine(command)}, since ${time} UTC)`;
}
