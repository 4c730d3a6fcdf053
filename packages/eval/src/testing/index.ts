export { type BenchmarkReport, checkBenchmark, type JudgeOne } from './check-benchmark.ts';
export { withoutSandbox } from './describe-sandbox.ts';
