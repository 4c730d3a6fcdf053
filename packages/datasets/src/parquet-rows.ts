import { statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { DataError, maxTextBytes, oneLine, parseJson } from '@flex/base';
import { mostUnpacked } from './content.ts';
import type { JsonRow } from './json-rows.ts';

/** Whether a file that begins so is Parquet. */
export function isParquet(head: Buffer): boolean {
  return head.equals(Buffer.from('PAR1'));
}

/** A group of rows is in memory whole: of so many bytes, unpacked, and so many rows at the most. */
const bounds = { maxGroupBytes: 1 << 29, maxGroupRows: 1 << 22, maxTextBytes };
const heapMebibytes = 4096;

/**
 * What the thread says: rows as JSON texts, none at the end; or what is wrong, as it goes on after the path.
 */
type Answer = { readonly texts: readonly string[] } | { readonly problem: string };

/**
 * The rows of a Parquet file as JSON has them, a group of rows in memory at a time: whole numbers beyond 2⁵³
 * as texts of their digits, dates in ISO 8601, bytes as the text that they are in UTF-8. Throws DataError
 * with the path for a file that is damaged (also by what would take more than `seconds` for a group or 4
 * GiB), that grows beyond mostUnpacked, or has a group of more than 512 MiB or 4,194,304 rows; with the row
 * too for one of more than maxTextBytes as JSON.
 */
export async function* parquetRows(path: string, { seconds = 300 } = {}): AsyncGenerator<JsonRow> {
  const worker = new Worker(new URL('./parquet-worker.mjs', import.meta.url), {
    workerData: { ...bounds, path, maxBytes: mostUnpacked(statSync(path).size) },
    resourceLimits: { maxOldGenerationSizeMb: heapMebibytes },
    execArgv: [],
  });
  try {
    let row = 0;
    for (;;) {
      const answer = await ask(worker, seconds);
      if ('problem' in answer) throw new DataError(path + oneLine(answer.problem));
      if (answer.texts.length === 0) return;
      for (const text of answer.texts) {
        const where = `${path}:${++row}`;
        yield { where, text, value: parseJson(text, where) };
      }
    }
  } finally {
    await worker.terminate();
  }
}

function ask(worker: Worker, seconds: number): Promise<Answer> {
  const damaged = (reason: string) => ({ problem: `: is not whole Parquet (${reason}); fetch it again` });
  return new Promise((resolve) => {
    const late = setTimeout(() => answer(damaged(`rows took more than ${seconds} s`)), seconds * 1000);
    const failed = ({ message }: Error) => answer(damaged(message));
    const answer = (given: Answer) => {
      clearTimeout(late);
      worker.off('message', answer);
      worker.off('error', failed);
      resolve(given);
    };
    worker.on('message', answer);
    worker.on('error', failed);
    worker.postMessage(null);
  });
}
