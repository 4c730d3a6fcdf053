export { type BenchmarkReport, checkBenchmark, type JudgeOne } from './check-benchmark.ts';
