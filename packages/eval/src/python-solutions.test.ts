import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeShared, shared } from '@flex/fixtures';
import { judgeAll, openJudgementCache, openSandbox, toolchainVersions } from '@flex/judge';
import { withoutSandbox } from '@flex/judge/testing';
import { expect, test } from 'vitest';
import type { Problem } from './benchmark.ts';
import { openBenchmark } from './benchmarks/open-benchmark.ts';

/** Solutions of our own: `===== ID WHAT`, then a whole program. */
const text = readFileSync(join(import.meta.dirname, '../fixtures/python-solutions.txt'), 'utf8');
const solutions = text.split(/^===== /m).flatMap((part) => {
  const [, id, what, program] = /^(\S+) ([^\n]+)\n(.+)$/s.exec(part) ?? [];
  return id === undefined ? [] : [{ id, what, program }];
});

for (const { name, data, split, least, isOf } of [
  {
    name: 'humaneval',
    data: 'data/HumanEval.jsonl.gz',
    least: 30,
    isOf: (id: string) => id.startsWith('Hum'),
  },
  { name: 'mbpp', data: 'data/mbpp.jsonl', split: 'all', least: 10, isOf: (id: string) => /^\d+$/.test(id) },
]) {
  describeShared(data, `problems of ${name}`, () => {
    test.skipIf(withoutSandbox)('are passed by our own solutions, without the canonical ones', async () => {
      const benchmark = await openBenchmark({ name, data: shared(data), split });
      const problems = new Map<string, Problem>();
      for await (const problem of benchmark.problems()) problems.set(problem.id, problem);
      const its = solutions.filter(({ id }) => isOf(id));
      expect(its.length).toBeGreaterThanOrEqual(least);
      const jobs = its.map(({ id, program }) => ({
        program: benchmark.program(problems.get(id) as Problem, { kind: 'program', text: program }),
        canonical: null,
      }));
      const judgements = await judgeAll(jobs, {
        sandbox: await openSandbox(),
        lanes: 2,
        timeout: null,
        toolchains: await toolchainVersions(['py']),
        cache: openJudgementCache(null),
      });
      const wrong = its.flatMap(({ id, what }, i) =>
        judgements[i].verdict === 'passed' ? [] : [`${id} ${what}: ${JSON.stringify(judgements[i])}`],
      );
      expect(wrong).toEqual([]);
    });
  });
}
