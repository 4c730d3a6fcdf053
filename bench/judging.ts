// What the evaluation benches share: programs of the benchmarks in ../shared/data or the folder FLEX_DATA.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Job,
  type Judgement,
  judgeAll,
  openBenchmark,
  openJudgementCache,
  openSandbox,
  type Problem,
  toolchainVersions,
} from '@flex/eval';

const root = join(import.meta.dirname, '..');
const dataFolder = process.env.FLEX_DATA ?? join(root, '..', 'shared', 'data');
const solutions = join(root, 'packages', 'eval', 'fixtures', 'java-solutions');
const sandbox = await openSandbox();
const toolchains = await toolchainVersions(['py', 'java']);

/** The publisher's solution, or for a Java problem of MultiPL-E ours; null where neither is known. */
export function solutionOf({ id, canonical }: Problem): string | null {
  const own = join(solutions, `${id}.java`);
  return canonical ?? (existsSync(own) ? readFileSync(own, 'utf8') : null);
}

/** A job for each problem of a benchmark that `completion` has a completion for, by the problem's id. */
export async function jobsOf(
  name: string,
  completion: (problem: Problem) => string | null,
): Promise<ReadonlyMap<string, Job>> {
  const benchmark = await openBenchmark({ name, dataFolder });
  const jobs = new Map<string, Job>();
  for await (const problem of benchmark.problems()) {
    const text = completion(problem);
    if (text === null) continue;
    jobs.set(problem.id, {
      program: benchmark.program(problem, { kind: 'completion', text }),
      canonical: null,
    });
  }
  return jobs;
}

/** Judges them all, none from a cache. */
export async function judge(jobs: ReadonlyMap<string, Job>, lanes: number): Promise<Judgement[]> {
  const cache = await openJudgementCache(null);
  return judgeAll([...jobs.values()], { sandbox, lanes, timeout: null, toolchains, cache });
}

export const passedOf = (judgements: readonly Judgement[]): number =>
  judgements.filter(({ verdict }) => verdict === 'passed').length;
