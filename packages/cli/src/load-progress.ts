import type { LoadProgress } from '@flex/llama';
import { duration } from './duration.ts';
import type { LiveLine } from './live-line.ts';

/**
 * Shows how weights are loaded, or what the verb says of them, told after each piece, one model after
 * another. Of what takes less than a second nothing is shown.
 */
export function newLoadProgress(
  { show, stop }: Pick<LiveLine, 'show' | 'stop'>,
  verb = 'loading',
): (progress: LoadProgress) => void {
  let from = { bytes: Number.POSITIVE_INFINITY, at: 0 };
  return (progress) => {
    const { bytes, total } = progress;
    const now = performance.now();
    if (bytes <= from.bytes) from = { bytes, at: now };
    const seconds = (now - from.at) / 1000;
    if (seconds < 1) return;
    show(bytes, total, describeLoading(progress, (bytes - from.bytes) / seconds, verb));
    if (bytes === total) stop();
  };
}

/** The words of `loading 3.1/13.5 GB  0.82 GB/s  13 s left`. */
export function describeLoading({ bytes, total }: LoadProgress, perSecond: number, verb: string): string[] {
  const gigabytes = (n: number, digits: number) => (n / 1e9).toFixed(digits);
  return [
    `${verb} ${gigabytes(bytes, 1)}/${gigabytes(total, 1)} GB`,
    `${gigabytes(perSecond, 2)} GB/s`,
    `${duration((total - bytes) / perSecond)} left`,
  ];
}
