import { resolve } from 'node:path';
import {
  ConfigError,
  definePart,
  digestRows,
  importPart,
  namedError,
  type PartOf,
  partTitle,
} from '@flex/base';
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
 * loaded or is no part; what goes wrong in it names it and its file. The options of a module's benchmark
 * have, besides its own, `content`: the digest of its problems and of the program of each one's empty
 * answer, which holds its tests.
 */
export async function findBenchmark(name: string): Promise<BenchmarkPart> {
  if (/\.[cm]?[jt]s$/.test(name)) {
    const file = resolve(name);
    const part = (await importPart(file)) as BenchmarkPart;
    return {
      ...part,
      async make(options, context) {
        try {
          const made = await part.make(options, context);
          return { ...(await digested(made)), paths: [file, ...(made.paths ?? [])] };
        } catch (cause) {
          throw namedError(partTitle('benchmark', part.name, file), cause);
        }
      },
    };
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
  benchmark: Benchmark & Partial<OpenedBenchmark>,
): Promise<Benchmark & Partial<OpenedBenchmark>> {
  const { name, options, leftOut, problems, program, base } = benchmark ?? {};
  const isOne = typeof problems === 'function' && typeof program === 'function';
  if (!isOne || typeof name !== 'string' || typeof options !== 'object' || options === null) {
    const needs = 'its make must give an object with name, options, problems() and program()';
    throw new ConfigError(needs);
  }
  const rows: unknown[] = [];
  for await (const problem of benchmark.problems()) {
    const answer = { kind: 'completion', text: problem.empty } as const;
    const programs = [benchmark.program(problem, answer), benchmark.base?.(problem, answer)];
    rows.push(JSON.parse(JSON.stringify([problem, ...programs.filter((made) => made !== undefined)])));
  }
  return {
    name,
    options: { ...options, content: digestRows(rows) },
    ...(leftOut && { leftOut }),
    problems: () => benchmark.problems(),
    program: (problem, completion) => benchmark.program(problem, completion),
    ...(base && { base: (problem, completion) => base.call(benchmark, problem, completion) }),
  };
}
