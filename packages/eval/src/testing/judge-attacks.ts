import type { Benchmark, Problem } from '../benchmark.ts';
import { humanEval } from '../benchmarks/human-eval.ts';
import { multiplE } from '../benchmarks/multipl-e.ts';
import { type Job, judgeAll } from '../judge-all.ts';
import { openJudgementCache } from '../judgement-cache.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { toolchainVersions } from '../toolchain.ts';
import type { Judgement } from '../verdict.ts';
import { type Attack, readAttackProblems, readAttacks } from './corpus.ts';

/** A hostile program and the judge's word on it. */
export interface JudgedAttack {
  readonly attack: Attack;
  readonly judgement: Judgement;
}

/** Judges the hostile programs that `accepts` chooses, in the machine's sandbox, two at a time. */
export async function judgeAttacks(
  accepts: (attack: Attack) => boolean = () => true,
  { timeout }: { timeout: number } = { timeout: 3 },
): Promise<JudgedAttack[]> {
  const { python, java } = readAttackProblems();
  const benchmarks = { py: humanEval(python, { prompt: 'raw' }), java: multiplE(java) };
  const problems = new Map<string, [Benchmark, Problem]>();
  for (const benchmark of Object.values(benchmarks)) {
    for await (const problem of benchmark.problems()) problems.set(problem.id, [benchmark, problem]);
  }
  const attacks = readAttacks().filter(accepts);
  const jobs = attacks.map(({ problem: id, text }): Job => {
    const [benchmark, problem] = problems.get(id) as [Benchmark, Problem];
    return { program: benchmark.program(problem, { kind: 'completion', text }), canonical: null };
  });
  const judgements = await judgeAll(jobs, {
    sandbox: await openSandbox(),
    lanes: 2,
    timeout,
    toolchains: await toolchainVersions(['py', 'java']),
    cache: await openJudgementCache(null),
  });
  return attacks.map((attack, i) => ({ attack, judgement: judgements[i] }));
}
