import { Option } from 'commander';

/** `--queue`, as commander gives it: true without a value. */
export type QueueOption = string | true;

export const queueOption = (): Option =>
  new Option(
    '--queue [url]',
    'redis:// or rediss:// URL of the Redis that has the jobs, or a file that holds it; else FLEX_REDIS_URL',
  );
