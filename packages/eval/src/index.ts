export * from './audit-number.ts';
export * from './benchmark.ts';
export * from './benchmarks/benchmark-part.ts';
export { type FromRows, fromRows, type Identified, sourceOf } from './benchmarks/from-rows.ts';
export {
  benchmarkData,
  type OpenBenchmarkOptions,
  type OpenedBenchmark,
  openBenchmark,
} from './benchmarks/open-benchmark.ts';
export * from './compare.ts';
export * from './evaluate.ts';
export * from './evaluation-folder.ts';
export { extractCode, fencedHint } from './extract-code.ts';
export * from './generate.ts';
export * from './pass-at-k.ts';
export * from './pass-difference.ts';
export * from './read-results.ts';
export * from './results.ts';
export { isSampleFile } from './sample-rows.ts';
export * from './samples.ts';
export * from './score.ts';
export * from './statistics/detectable.ts';
export * from './statistics/difference-interval.ts';
export * from './statistics/mean-interval.ts';
export * from './statistics/sign-flip.ts';
export * from './statistics/wilson.ts';
export * from './truncate.ts';
