// A process that takes and gives back the lock of a folder as its parent tells it, and answers with what it
// got: { at } to take it at that time (ms), 'release' to give it back, { times } to do both so often.
import { type FolderLock, lockFolder } from '../lock-folder.ts';

/** What a locking process is told. */
export type LockingTask = 'release' | { readonly at: number } | { readonly times: number };

const [, , folder] = process.argv;
let lock: FolderLock | null = null;

process.on('message', (task: LockingTask) => {
  try {
    process.send?.(done(task));
  } catch (error) {
    process.send?.({ name: (error as Error).name, message: (error as Error).message });
  }
});

function done(task: LockingTask): { readonly note: string | null } {
  if (task === 'release') {
    lock?.release();
    return { note: null };
  }
  if ('times' in task) {
    for (let i = 0; i < task.times; i++) lockFolder(folder).release();
    return { note: null };
  }
  while (Date.now() < task.at);
  lock = lockFolder(folder);
  return { note: lock.note };
}

process.on('disconnect', () => process.exit());
process.send?.('ready');
