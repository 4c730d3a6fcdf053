import { resolve } from 'node:path';
import { ConfigError, definePart, digestRows, importPart, type PartOf } from '@flex/base';
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
 * loaded or is no part. The options of a module's benchmark have, besides its own, `content`: the digest of
 * its problems and of the program of each one's empty answer, which holds its tests.
 */
export async function findBenchmark(name: string): Promise<BenchmarkPart> {
  if (/\.[cm]?[jt]s$/.test(name)) {
    const part = (await importPart(resolve(name))) as BenchmarkPart;
    return { ...part, make: async (options, context) => digested(part, await part.make(options, context)) };
  }
  return definePart({
    name,
    schema,
    make: (options, context: BenchmarkContext) => openBenchmark({ name, ...options, ...context }),
  });
}

/**
 * The same benchmark, with the digest of its content among its options. Throws ConfigError for no benchmark.
 */
async function digested(
  part: BenchmarkPart,
  benchmark: Benchmark & Partial<OpenedBenchmark>,
): Promise<Benchmark & Partial<OpenedBenchmark>> {
  const { name, options, leftOut, problems, program } = benchmark ?? {};
  const isOne = typeof problems === 'function' && typeof program === 'function';
  if (!isOne || typeof name !== 'string' || typeof options !== 'object' || options === null) {
    const needs = 'its make must give an object with name, options, problems() and program()';
    throw new ConfigError(`benchmark "${part.name}": ${needs}`);
  }
  const rows: unknown[] = [];
  for await (const problem of benchmark.problems()) {
    const answer = { kind: 'completion', text: problem.empty } as const;
    rows.push(JSON.parse(JSON.stringify([problem, benchmark.program(problem, answer)])));
  }
  return {
    name,
    options: { ...options, content: digestRows(rows) },
    ...(leftOut && { leftOut }),
    problems: () => benchmark.problems(),
    program: (problem, completion) => benchmark.program(problem, completion),
  };
}
