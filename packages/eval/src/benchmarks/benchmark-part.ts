import { resolve } from 'node:path';
import { definePart, importPart, type PartOf } from '@flex/base';
import { z } from 'zod';
import type { Benchmark } from '../benchmark.ts';
import { type OpenedBenchmark, openBenchmark } from './open-benchmark.ts';

/** What an evaluation tells the parts that make its benchmarks. */
export interface BenchmarkContext {
  /** Where data lie that are not named. */
  readonly dataFolder: string | null;
  /** Takes one line for people. */
  warn(line: string): void;
}

/** A part that makes a benchmark; `leftOut` may be missing where no row is left out unasked. */
export type BenchmarkPart = PartOf<Benchmark & Partial<OpenedBenchmark>, BenchmarkContext>;

const schema = z.strictObject({
  data: z.string().optional(),
  split: z.string().optional(),
  prompt: z.string().optional(),
});

/**
 * The part that a name stands for: a built-in benchmark or a file of rows (see openBenchmark), or the
 * default export of a module such as `./mine.ts`. Throws ConfigError, one line, where the module cannot be
 * loaded or is no part.
 */
export async function findBenchmark(name: string): Promise<BenchmarkPart> {
  if (/\.[cm]?[jt]s$/.test(name)) return importPart(resolve(name)) as Promise<BenchmarkPart>;
  return definePart({
    name,
    schema,
    make: (options, context: BenchmarkContext) => openBenchmark({ name, ...options, ...context }),
  });
}
