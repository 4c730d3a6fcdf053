import { closeSync, existsSync, fsyncSync } from 'node:fs';
import { type JsonLog, onDisk, openJsonLog, openOwnFile, readJsonLines, writeAll } from '@flex/base';

/** What is known after an update, or before the first. A number that is not finite is written as null. */
export interface MetricsLine {
  /** Updates done. */
  readonly step: number;
}

/** Opens a metrics file to append to, and makes it where there is none. */
export function openMetrics(path: string): JsonLog {
  return openJsonLog(path, () => {});
}

/** Appends a line to a metrics file that is whole, to outlive a power cut; it is made where there is none. */
export function appendLine(path: string, line: MetricsLine): void {
  const file = openOwnFile(path);
  try {
    onDisk(path, () => {
      writeAll(file, `${JSON.stringify(line)}\n`);
      fsyncSync(file);
    });
  } finally {
    closeSync(file);
  }
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
