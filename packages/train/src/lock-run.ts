import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, type FolderLock, lockFolder, requireOwnFolder } from '@flex/base';
import type { TrainConfig } from './config.ts';
import { endOf, holdsRun, runFiles } from './run-folder.ts';

export interface LockRunOptions {
  /** Whether the run in `out` goes on from its newest checkpoint. */
  readonly resume?: boolean;
  /** Whether it is replaced. */
  readonly overwrite?: boolean;
}

/**
 * The lock of a configuration's `out`, for its run: taken before anything is read from or written into the
 * folder.
 *
 * Throws ConfigError where `out` is no folder of its own, where another process writes into it, where it
 * holds a run that is neither to go on nor to be replaced, and where something that no run wrote, or a link,
 * has the name of what a run writes.
 */
export function lockRun(
  config: TrainConfig,
  { resume = false, overwrite = false }: LockRunOptions,
): FolderLock {
  requireOwn(config);
  const lock = lockFolder(config.out);
  try {
    requireFree(config.out, resume || overwrite);
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Throws what `lockRun` would, but for another process that writes into the folder. Nothing is written. */
export function requireRunFolder(
  config: TrainConfig,
  { resume = false, overwrite = false }: LockRunOptions,
): void {
  requireOwn(config);
  requireFree(config.out, resume || overwrite);
}

function requireOwn({ out, model, adapter, data, eval: heldOut }: TrainConfig): void {
  requireOwnFolder('out', out, [
    { of: 'the model', path: model },
    ...(adapter === null ? [] : [{ of: 'the adapter', path: adapter }]),
    ...[data, ...heldOut].map(({ source }) => ({ of: 'the data', path: source })),
  ]);
}

function requireFree(out: string, runMayBeThere: boolean): void {
  const links = runFiles.map((name) => join(out, name)).filter(isLink);
  if (links.length > 0) {
    throw new ConfigError(
      `${links[0]}: is a link, and nothing is written through one; take another folder as out`,
    );
  }
  if (holdsRun(out)) {
    if (runMayBeThere) return;
    throw new ConfigError(
      `${out}: holds a run; take another folder as out, or give --overwrite or --resume (it ${endOf(out)})`,
    );
  }
  const taken = runFiles.find((name) => existsSync(join(out, name)));
  if (taken !== undefined) {
    throw new ConfigError(
      `${join(out, taken)}: was written by no run and is in the way; take another folder as out`,
    );
  }
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}
