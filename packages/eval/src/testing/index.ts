export { type BenchmarkReport, checkBenchmark, type JudgeOne } from './check-benchmark.ts';
export * from './coverage.ts';
export * from './random.ts';
export { type FolderSpec, writeResultFolder } from './result-folder.ts';
