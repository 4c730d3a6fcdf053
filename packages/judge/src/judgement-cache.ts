import { createHash } from 'node:crypto';
import { cpus, hostname } from 'node:os';
import { DataError, type JsonLine, openJsonLog } from '@flex/base';
import { z } from 'zod';
import { assurances, failures, type Judgement, verdicts } from './verdict.ts';

/** Judgements by the key of what was judged and how, in memory and in a file. */
export interface JudgementCache {
  get(key: string): Judgement | undefined;
  /** When it returns, the judgement outlives this process. */
  add(key: string, judgement: Judgement): void;
  close(): void;
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
export function openJudgementCache(path: string | null): JudgementCache {
  const judgements = new Map<string, Judgement>();
  const log = openJsonLog(path, (line) => {
    const { key, judgement, machine = thisMachine } = entryOf(line);
    if (machine === thisMachine) judgements.set(key, judgement);
  });
  return {
    get: (key) => judgements.get(key),
    add(key, judgement) {
      judgements.set(key, judgement);
      const machine = judgement.verdict === 'timeout' ? thisMachine : undefined;
      log.append({ key, judgement, machine });
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

function entryOf({ value, where }: JsonLine): z.infer<typeof entrySchema> {
  const entry = entrySchema.safeParse(value);
  if (entry.success) return entry.data;
  throw new DataError(`${where}: is no judgement {"key", "judgement"}; delete the file to judge anew`);
}
