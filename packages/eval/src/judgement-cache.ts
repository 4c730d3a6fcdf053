import { createHash } from 'node:crypto';
import { cpus, hostname } from 'node:os';
import { basename } from 'node:path';
import { z } from 'zod';
import { openAppendLog } from './append-log.ts';
import { DataError } from './errors.ts';
import { assurances, failures } from './results.ts';
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
 * The cache in a file of JSON Lines, appended to as judgements come; null keeps it in memory. Throws
 * DataError with file and line for a line that is none of its own.
 */
export async function openJudgementCache(path: string | null): Promise<JudgementCache> {
  const judgements = new Map<string, Judgement>();
  const log = await openAppendLog(path, (json, line) => {
    const entry = readEntry(json, `${basename(path ?? '')}:${line}`);
    if (entry.machine !== undefined && entry.machine !== thisMachine) return;
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

const entrySchema = z.strictObject({
  key: z.string(),
  judgement: z.strictObject({
    verdict: z.enum(verdicts),
    failure: z.enum(failures).nullable(),
    detail: z.string(),
    assurance: z.enum(assurances),
    seconds: z.number().nonnegative(),
  }),
  machine: z.string().optional(),
});

function readEntry(json: string, where: string): z.infer<typeof entrySchema> {
  const entry = entrySchema.safeParse(parsed(json));
  if (entry.success) return entry.data;
  throw new DataError(`${where}: is no judgement {"key", "judgement"}; delete the file to judge anew`);
}

/** The value of a JSON text; undefined where it is none. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
