import { existsSync } from 'node:fs';
import { type JsonLog, openJsonLog, readJsonLines } from '@flex/base';

/** What is known after an update. A number that is not finite is written as null. */
export interface MetricsLine {
  /** The update, from 1. */
  readonly step: number;
}

/** Opens a metrics file to append to, and makes it where there is none. */
export function openMetrics(path: string): JsonLog {
  return openJsonLog(path, () => {});
}

/** The lines of a metrics file. A last one without its end, as a crash leaves, is none. Throws DataError. */
export function readMetrics(path: string): MetricsLine[] {
  return Array.from(readJsonLines(path), ({ value }) => value as MetricsLine);
}

/** Takes back the lines of steps after `step`, and a torn last line, so that a resumed run goes on from there. */
export function rewindMetrics(path: string, step: number): void {
  if (!existsSync(path)) return;
  openJsonLog(path, ({ value }) => Number((value as MetricsLine | null)?.step) <= step).close();
}
