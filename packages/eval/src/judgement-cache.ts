import { createHash } from 'node:crypto';
import { cpus, hostname } from 'node:os';
import { basename } from 'node:path';
import { openAppendLog } from './append-log.ts';
import { DataError } from './errors.ts';
import { type Judgement, verdicts } from './verdict.ts';

/** Judgements by the key of what was judged and how, in memory and in a file. */
export interface JudgementCache {
  get(key: string): Judgement | undefined;
  /** Resolves when it is written. */
  add(key: string, judgement: Judgement): Promise<void>;
  close(): Promise<void>;
}

/** A time limit means something else on another machine: timeouts are only taken from this one. */
const thisMachine = createHash('sha256')
  .update(`${hostname()}\n${cpus().map(({ model }) => model)}`)
  .digest('hex')
  .slice(0, 16);

/**
 * The cache in a file of JSON Lines, appended to as judgements come; null keeps it in memory. Throws DataError
 * with file and line for a line that is none of its own.
 */
export async function openJudgementCache(path: string | null): Promise<JudgementCache> {
  const judgements = new Map<string, Judgement>();
  const log = await openAppendLog(path, (json, line) => {
    const entry = readEntry(json, `${basename(path ?? '')}:${line}`);
    if (entry.machine === undefined || entry.machine === thisMachine)
      judgements.set(entry.key, entry.judgement);
  });
  return {
    get: (key) => judgements.get(key),
    async add(key, judgement) {
      judgements.set(key, judgement);
      const machine = judgement.verdict === 'timeout' ? thisMachine : undefined;
      await log.append([{ key, judgement, machine }]);
    },
    close: log.close,
  };
}

interface Entry {
  readonly key: string;
  readonly judgement: Judgement;
  readonly machine?: string;
}

function readEntry(json: string, where: string): Entry {
  try {
    const entry = JSON.parse(json) as Entry;
    if (typeof entry.key === 'string' && verdicts.includes(entry.judgement.verdict)) return entry;
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
  }
  throw new DataError(`${where}: is no judgement {"key", "judgement"}; delete the file to judge anew`);
}
