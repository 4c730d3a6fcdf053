import { describeShared, shared } from '@flex/fixtures';
import { judgeAll, openJudgementCache, openSandbox, toolchainVersions } from '@flex/judge';
import { withoutSandbox } from '@flex/judge/testing';
import { beforeAll, expect, test } from 'vitest';
import type { Benchmark, Problem } from './benchmark.ts';
import { openBenchmark } from './benchmarks/open-benchmark.ts';
import { readJavaSolutions, readSabotages } from './testing/java-solutions.ts';

const published = 'data/multipl-e/humaneval-java.jsonl';
const sandboxTest = test.skipIf(withoutSandbox);

describeShared(published, "MultiPL-E's Java problems", () => {
  const solutions = readJavaSolutions();
  let benchmark: Benchmark;
  const problems = new Map<string, Problem>();
  beforeAll(async () => {
    benchmark = await openBenchmark({ name: 'multipl-e:java', data: shared(published) });
    for await (const problem of benchmark.problems()) problems.set(problem.id, problem);
  });

  async function verdictsOf(answers: readonly { problem: string; text: string }[]) {
    const jobs = answers.map(({ problem: id, text }) => ({
      program: benchmark.program(problems.get(id) as Problem, { kind: 'completion', text }),
      canonical: null,
    }));
    const judgements = await judgeAll(jobs, {
      sandbox: await openSandbox(),
      lanes: 2,
      timeout: null,
      toolchains: await toolchainVersions(['java']),
      cache: openJudgementCache(null),
    });
    return answers.map(({ problem }, i) => ({ problem, ...judgements[i] }));
  }

  sandboxTest('are passed by our own solutions, at least forty of them', async () => {
    expect(problems.size).toBe(158);
    expect(solutions.length).toBeGreaterThanOrEqual(40);
    const judged = await verdictsOf(solutions);
    expect(judged.filter(({ verdict }) => verdict !== 'passed')).toEqual([]);
    expect(judged.every(({ assurance }) => assurance === 'isolated')).toBe(true);
  });

  sandboxTest('are failed by the same solutions with one token changed', { timeout: 240_000 }, async () => {
    const sabotages = readSabotages().map(({ problem, find, replace }) => {
      const { text } = solutions.find((solution) => solution.problem === problem) as { text: string };
      return { problem, text: text.replace(find, () => replace) };
    });
    expect(new Set(sabotages.map(({ problem }) => problem)).size).toBe(solutions.length);
    const judged = await verdictsOf(sabotages);
    expect(judged.filter(({ verdict }) => verdict !== 'failed')).toEqual([]);
  });
});
