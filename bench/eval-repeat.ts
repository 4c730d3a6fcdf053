// Whether verdicts depend on how busy the machine is: one suite judged again and again beside busy loops.
// tsx eval-repeat.ts [--repeats 20] [--load 4] [--save]; the data sets are read as in eval.ts.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openBenchmark } from '@flex/eval';
import { type Job, judgeAll, openJudgementCache, openSandbox, toolchainVersions } from '@flex/judge';

const { values } = parseArgs({
  options: {
    repeats: { type: 'string', default: '20' },
    load: { type: 'string', default: '4' },
    save: { type: 'boolean', default: false },
  },
});
const [repeats, load] = [Number(values.repeats), Number(values.load)];
const root = join(import.meta.dirname, '..');
const dataFolder = process.env.FLEX_DATA ?? join(root, '..', 'shared', 'data');
const solutions = join(root, 'packages', 'eval', 'fixtures', 'java-solutions');

/**
 * Every HumanEval problem with its canonical solution and every Java problem that we solved; by turns
 * unsolved.
 */
async function suite(): Promise<Map<string, Job>> {
  const jobs = new Map<string, Job>();
  for (const name of ['humaneval', 'multipl-e:java']) {
    const benchmark = await openBenchmark({ name, dataFolder });
    for await (const problem of benchmark.problems()) {
      const own = join(solutions, `${problem.id}.java`);
      const solution = problem.canonical ?? (existsSync(own) ? readFileSync(own, 'utf8') : null);
      if (solution === null) continue;
      const text = jobs.size % 2 === 0 ? solution : problem.empty;
      const program = benchmark.program(problem, { kind: 'completion', text });
      jobs.set(problem.id, { program, canonical: null });
    }
  }
  return jobs;
}

const jobs = await suite();
const sandbox = await openSandbox();
const toolchains = await toolchainVersions(['py', 'java']);
const busy: ChildProcess[] = Array.from({ length: load }, () =>
  spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }),
);
const seen: string[][] = [];
const seconds: number[] = [];
try {
  for (let repeat = 0; repeat < repeats; repeat++) {
    const started = performance.now();
    const cache = openJudgementCache(null);
    const judgements = await judgeAll([...jobs.values()], {
      sandbox,
      lanes: 2,
      timeout: null,
      toolchains,
      cache,
    });
    seconds.push((performance.now() - started) / 1000);
    seen.push(judgements.map(({ verdict, failure }) => `${verdict} ${failure ?? ''}`));
    console.log(`${repeat + 1}/${repeats}: ${seconds[repeat].toFixed(1)} s`);
  }
} finally {
  for (const child of busy) child.kill('SIGKILL');
}
const unstable = [...jobs.keys()].filter((_, i) => seen.some((verdicts) => verdicts[i] !== seen[0][i]));
const passed = seen[0].filter((verdict) => verdict.startsWith('passed')).length;
console.log(`${jobs.size} programs, ${passed} passed, ${repeats} repeats beside ${load} busy loops`);
console.log(`${unstable.length} with more than one verdict${unstable.map((id) => `\n  ${id}`).join('')}`);
if (values.save) {
  const machine = `${cpus().length} × ${cpus()[0]?.model}`;
  const report = {
    machine,
    node: process.version,
    repeats,
    load,
    programs: jobs.size,
    passed,
    seconds,
    unstable,
  };
  const path = join(import.meta.dirname, 'results', 'eval-repeat.json');
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
}
if (unstable.length > 0) process.exitCode = 1;
