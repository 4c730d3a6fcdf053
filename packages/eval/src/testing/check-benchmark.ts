import { isDeepStrictEqual } from 'node:util';
import type { Judgement, Program } from '@flex/judge';
import type { Benchmark, Completion, Problem } from '../benchmark.ts';

/** Judges one program; several calls may run at once. */
export type JudgeOne = (program: Program) => Promise<Judgement>;

/** What was checked. */
export interface BenchmarkReport {
  readonly problems: number;
  /** Problems without a publisher's solution. */
  readonly withoutCanonical: number;
  /** Whether programs were run. */
  readonly judged: boolean;
}

/**
 * Tests that a benchmark keeps its contract: ids are unique and not empty; problems come out the same each
 * time; options can be written as JSON; equal completions give equal programs and nothing is changed in the
 * making; and, given a judge, each canonical solution passes and each empty completion does not. Throws an
 * Error that says for which problems what does not hold.
 */
export async function checkBenchmark(benchmark: Benchmark, judge?: JudgeOne): Promise<BenchmarkReport> {
  const problems = await all(benchmark);
  const require = requireOf(benchmark.name);
  require(benchmark.name === '' ? ['benchmark'] : [], 'has no name');
  const options = JSON.parse(JSON.stringify(benchmark.options)) as unknown;
  require(isDeepStrictEqual(options, benchmark.options) ? [] : ['options'], 'must be plain JSON');
  require(problems.length === 0 ? ['problems'] : [], 'must not be empty');
  require(repeated(problems), 'ids must be unique and not empty');
  const again = await all(benchmark);
  require(isDeepStrictEqual(problems, again) ? [] : ['problems'], 'must come out the same each time');
  const impure = problems.filter((problem) =>
    completionsOf(problem).some((completion) => !isPure(benchmark, problem, completion)),
  );
  require(ids(impure), 'equal completions must give equal programs, and leave problem and completion alone');
  if (judge) await checkVerdicts(benchmark, problems, judge);
  return {
    problems: problems.length,
    withoutCanonical: problems.filter(({ canonical }) => canonical === null).length,
    judged: judge !== undefined,
  };
}

async function checkVerdicts(
  benchmark: Benchmark,
  problems: readonly Problem[],
  judge: JudgeOne,
): Promise<void> {
  const run = async (problem: Problem, text: string): Promise<Judgement> => {
    const base = benchmark.base && (await judge(benchmark.base(problem, { kind: 'completion', text })));
    if (base && base.verdict !== 'passed') return base;
    return await judge(benchmark.program(problem, { kind: 'completion', text }));
  };
  const wrong = await Promise.all(
    problems.map(async (problem) => {
      const canonical = problem.canonical === null ? null : await run(problem, problem.canonical);
      const empty = await run(problem, problem.empty);
      const refused = canonical !== null && canonical.verdict !== 'passed';
      return {
        refused: refused ? [`${problem.id} (${canonical.verdict}: ${canonical.detail})`] : [],
        accepted: empty.verdict === 'passed' ? [problem.id] : [],
      };
    }),
  );
  const require = requireOf(benchmark.name);
  require(wrong.flatMap(({ refused }) => refused), 'canonical solutions must pass');
  require(wrong.flatMap(({ accepted }) => accepted), 'empty completions must not pass');
}

function requireOf(name: string): (offenders: readonly string[], claim: string) => void {
  return (offenders, claim) => {
    if (offenders.length === 0) return;
    const shown = offenders.slice(0, 5).join(', ');
    const more = offenders.length > 5 ? ` and ${offenders.length - 5} more` : '';
    throw new Error(`benchmark "${name}": ${shown}${more}: ${claim}`);
  };
}

async function all(benchmark: Benchmark): Promise<Problem[]> {
  const problems: Problem[] = [];
  for await (const problem of benchmark.problems()) problems.push(problem);
  return problems;
}

function ids(problems: readonly Problem[]): string[] {
  return problems.map(({ id }) => id);
}

function repeated(problems: readonly Problem[]): string[] {
  const seen = new Set<string>(['']);
  return ids(problems).filter((id) => seen.size === seen.add(id).size);
}

function completionsOf({ canonical, empty }: Problem): Completion[] {
  const texts = canonical === null ? [empty] : [empty, canonical];
  return texts.flatMap((text) => [
    { kind: 'completion', text },
    { kind: 'program', text },
  ]);
}

function isPure(benchmark: Benchmark, problem: Problem, completion: Completion): boolean {
  const [problemBefore, completionBefore] = structuredClone([problem, completion]);
  const programs = (...given: [Problem, Completion]) => [
    benchmark.program(...given),
    benchmark.base?.(...given),
  ];
  const first = programs(problem, completion);
  const copy = structuredClone(first);
  const second = programs(structuredClone(problem), structuredClone(completion));
  const unchanged = isDeepStrictEqual([problem, completion], [problemBefore, completionBefore]);
  return unchanged && isDeepStrictEqual(copy, second) && isDeepStrictEqual(first, second);
}
