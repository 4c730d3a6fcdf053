import { type HubName, hubNameText, isHubOffline, notCachedOf } from '@flex/base';
import type { DownloadProgress } from '@flex/hub';
import { duration } from './duration.ts';
import { newLiveLine } from './live-line.ts';

/**
 * Runs a command. Where it ends because what a name of the hub stands for is not in the cache, or not whole,
 * that is downloaded and the command run again: names are looked up before anything is written.
 */
export async function withDownloads<T>(args: readonly string[], run: () => Promise<T>): Promise<T> {
  const got = new Set<string>();
  for (;;) {
    try {
      return await run();
    } catch (error) {
      const wanted = notCachedOf(error)?.wanted;
      if (!wanted || isHubOffline()) throw error;
      const key = `${wanted.kind} ${hubNameText(wanted)}`;
      if (got.has(key)) throw error;
      got.add(key);
      await download(wanted, args.includes('--quiet'));
    }
  }
}

/** Downloads what a name needs, with a line of progress, and gives the snapshot's folder. */
export async function download(name: HubName, quiet: boolean): Promise<string> {
  const { downloadSnapshot } = await import('@flex/hub');
  const line = newLiveLine(quiet);
  let from: (DownloadProgress & { readonly at: number }) | null = null;
  try {
    return await downloadSnapshot(name, {
      note: line.line,
      onProgress(progress) {
        from ??= { ...progress, at: performance.now() };
        const perSecond = (1000 * (progress.bytes - from.bytes)) / (performance.now() - from.at);
        line.show(progress.bytes, progress.total, describeDownload(hubNameText(name), progress, perSecond));
      },
    });
  } finally {
    line.stop();
  }
}

/** The words of `downloading org/name  3.1/13.5 GB  45 MB/s  3 min 51 s left`. */
export function describeDownload(
  name: string,
  { bytes, total }: DownloadProgress,
  perSecond: number,
): string[] {
  const [unit, letter] = total < 1e9 ? [1e6, 'M'] : [1e9, 'G'];
  const amount = `${(bytes / unit).toFixed(1)}/${(total / unit).toFixed(1)} ${letter}B`;
  const isKnown = perSecond > 0 && Number.isFinite(perSecond);
  return [
    `downloading ${name}`,
    amount,
    ...(isKnown
      ? [`${(perSecond / 1e6).toFixed(1)} MB/s`, `${duration((total - bytes) / perSecond)} left`]
      : []),
  ];
}
