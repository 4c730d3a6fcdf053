import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HubName, hubNameText, isHubOffline, locate, NotCachedError, onDisk } from '@flex/base';
import { newLiveLine } from './live-line.ts';

/** What it takes to download a model. */
export interface Download {
  /** `org/name` or `org/name@revision`. */
  readonly name: string;
  readonly commit: string;
  readonly files: number;
  readonly bytes: number;
}

/** A model's directory; where its weights are zeros and its files' headers right, what is to be downloaded. */
export interface ModelOrHeaders {
  readonly dir: string;
  readonly download: Download | null;
}

/**
 * Gives `f` the directory of a model, or where the cache has not all of what a name of the hub stands for, a
 * folder with its headers, which is gone afterwards. Throws what `locate` and `downloadHeaders` throw.
 */
export async function withModelOrHeaders(
  text: string,
  quiet: boolean,
  f: (model: ModelOrHeaders) => Promise<void>,
): Promise<void> {
  const found = located(text);
  if (typeof found === 'string') return f({ dir: found, download: null });
  const name = hubNameText(found);
  const root = onDisk(tmpdir(), () => mkdtempSync(join(tmpdir(), 'flex-headers-')));
  try {
    const { downloadHeaders } = await import('@flex/hub');
    const line = newLiveLine(quiet);
    const download = await downloadHeaders(found, root, { note: line.line }).finally(() => line.stop());
    await f({ dir: root, download: { name, ...download } });
  } catch (error) {
    // The folder is nobody's: what is wrong in it is wrong at the hub.
    if (error instanceof Error) error.message = error.message.replaceAll(root, name);
    throw error;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Where a model lies; or the name of what is to be asked of the hub. */
function located(text: string): string | HubName {
  try {
    return locate(text, 'model');
  } catch (error) {
    if (!(error instanceof NotCachedError) || isHubOffline()) throw error;
    return error.wanted;
  }
}
