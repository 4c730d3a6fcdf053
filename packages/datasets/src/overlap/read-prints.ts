import { statSync } from 'node:fs';
import { locate } from '@flex/base';
import { knownFormats } from '../known-formats.ts';
import { type ReadRow, readRows } from '../read-rows.ts';
import { appsPart } from '../source-rows.ts';
import { parseSplit, selectRows } from '../split.ts';
import { type RowPrint, rowPrint } from './row-print.ts';

/** A file or folder of rows, and the split of it that is meant; null means all. */
export interface SourceSplit {
  readonly source: string;
  readonly split: string | null;
}

/**
 * `FILE:SPLIT` or `FILE`, looked up as `locate` does: what is behind the last colon is a split unless there
 * is a file of the whole name.
 */
export function parseSourceSplit(text: string): SourceSplit {
  const colon = text.lastIndexOf(':');
  const isThere = (path: string) => statSync(path, { throwIfNoEntry: false }) !== undefined;
  const whole = locate(text, 'dataset');
  if (colon < 1 || isThere(whole)) return { source: whole, split: null };
  const source = locate(text.slice(0, colon), 'dataset');
  if (!isThere(source)) return { source: whole, split: null };
  return { source, split: parseSplit(text.slice(colon + 1)).text };
}

/**
 * The prints of the rows of a source, benchmarks without solutions included. Without a split one row is held
 * at a time, with one all. Throws what readRows and selectRows throw.
 */
export async function* readPrints({ source, split }: SourceSplit): AsyncGenerator<RowPrint> {
  const part = appsPart(source, split);
  const rows = readRows(source, { formats: knownFormats, part });
  if (split === null || split === 'all' || part !== null) {
    for await (const row of rows) yield rowPrint(row, source);
    return;
  }
  const all: ReadRow[] = [];
  for await (const row of rows) all.push(row);
  for (const row of selectRows(all, parseSplit(split), all[0].format, source)) yield rowPrint(row, source);
}
