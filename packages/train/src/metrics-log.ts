import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { DataError } from '@flex/tensor';
import { writeAtomic } from './files.ts';

/** What is known after an update. A number that is not finite is written as null. */
export interface MetricsLine {
  /** The update, from 1. */
  readonly step: number;
}

/** A run's metrics as JSON Lines, one an update. */
export interface MetricsLog {
  /** Appends a line; when it returns, the line outlives this process. */
  append(line: MetricsLine): void;
  close(): void;
}

/** Opens a metrics file to append to, and makes it where there is none. */
export function openMetrics(path: string): MetricsLog {
  const file = openSync(path, 'a');
  return {
    append: (line) => {
      const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
      for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
    },
    close: () => closeSync(file),
  };
}

/** The lines of a metrics file. A last one without its end, as a crash leaves, is none. Throws DataError. */
export function readMetrics(path: string): MetricsLine[] {
  return wholeLines(path).map((text, i) => {
    try {
      return JSON.parse(text) as MetricsLine;
    } catch (error) {
      throw new DataError(`${path}:${i + 1}: is not JSON: ${(error as Error).message}`);
    }
  });
}

/** Takes back the lines of steps after `step`, and a torn last line, so that a resumed run goes on from there. */
export function rewindMetrics(path: string, step: number): void {
  if (!existsSync(path)) return;
  const texts = wholeLines(path);
  const kept = readMetrics(path).flatMap((line, i) => (line.step <= step ? `${texts[i]}\n` : []));
  writeAtomic(path, kept.join(''));
}

function wholeLines(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').slice(0, -1);
}
