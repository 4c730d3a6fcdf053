import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readWhole } from '@flex/base';
import { decode, type JsonRow, readFileRows } from '@flex/datasets';

/** Rows as JSON, or gzipped; MultiPL-E puts what its own judge says beside them. */
const isRowFile = (name: string) => /\.jsonl?(\.gz)?$/.test(name) && !/\.results\.json(\.gz)?$/.test(name);

/** Whether a file in a folder of samples may hold some. */
export const isSampleFile = (name: string) => isRowFile(name) || name.endsWith('.py');

/**
 * The rows of a file of samples; or of a folder, in the order of names: of its JSON files (MultiPL-E writes
 * one a problem), and of its folders that hold programs (evalplus writes `HumanEval_0/0.py`), a row
 * `{task_id, solution}` for each.
 */
export async function* readSampleRows(path: string): AsyncGenerator<JsonRow> {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return yield* readFileRows(path);
  for (const entry of readdirSync(path, { withFileTypes: true }).sort(byNumberedName)) {
    if (entry.isDirectory()) yield* programsIn(path, entry.name);
    else if (isRowFile(entry.name)) yield* readFileRows(join(path, entry.name));
  }
}

function* programsIn(parent: string, folder: string): Generator<JsonRow> {
  const files = readdirSync(join(parent, folder), { withFileTypes: true }).sort(byNumberedName);
  for (const { name } of files.filter((entry) => entry.isFile() && entry.name.endsWith('.py'))) {
    const where = join(parent, folder, name);
    const solution = decode(readWhole(where), where);
    const value = { task_id: folder.replace('_', '/'), solution };
    yield { where, text: JSON.stringify(value), value };
  }
}

/** 2.py before 10.py. */
const order = new Intl.Collator('en', { numeric: true });
const byNumberedName = (a: { name: string }, b: { name: string }) => order.compare(a.name, b.name);
