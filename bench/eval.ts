// How fast evaluation judges, and what memory the harness takes, beside the limits it must keep.
// tsx eval.ts [--lanes n] [--save]; the data sets are read from ../shared/data or the folder FLEX_DATA.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openBenchmark, type Problem } from '@flex/eval';
import { type Job, judgeAll, openJudgementCache, openSandbox, toolchainVersions } from '@flex/judge';

interface Row {
  readonly what: string;
  readonly programs: number;
  readonly passed: number;
  readonly seconds: number;
  /** Seconds it must not exceed on two cores; null where none was set. */
  readonly limit: number | null;
}

const { values: options } = parseArgs({
  options: { lanes: { type: 'string', default: '2' }, save: { type: 'boolean', default: false } },
});
const lanes = Number(options.lanes);
const root = join(import.meta.dirname, '..');
const dataFolder = process.env.FLEX_DATA ?? join(root, '..', 'shared', 'data');
const solutions = join(root, 'packages', 'eval', 'fixtures', 'java-solutions');

/** Judges one completion of each problem, none from a cache. */
async function judged(what: string, name: string, limit: number, completion: (problem: Problem) => string) {
  const benchmark = await openBenchmark({ name, dataFolder });
  const jobs: Job[] = [];
  const languages = new Set<Problem['language']>();
  for await (const problem of benchmark.problems()) {
    languages.add(problem.language);
    const program = benchmark.program(problem, { kind: 'completion', text: completion(problem) });
    jobs.push({ program, canonical: null });
  }
  const sandbox = await openSandbox();
  const toolchains = await toolchainVersions([...languages]);
  const started = performance.now();
  const cache = openJudgementCache(null);
  const judgements = await judgeAll(jobs, { sandbox, lanes, timeout: null, toolchains, cache });
  const seconds = (performance.now() - started) / 1000;
  const passed = judgements.filter(({ verdict }) => verdict === 'passed').length;
  return {
    what,
    programs: new Set(jobs.map(({ program }) => JSON.stringify(program))).size,
    passed,
    seconds,
    limit,
  };
}

/**
 * What starting a bare interpreter for each program costs, one after the other: no judge can do without it.
 */
function bareInterpreter(programs: number): Row {
  const started = performance.now();
  for (let i = 0; i < programs; i++) spawnSync('/usr/bin/python3', ['-s', '-S', '-B', '-c', 'pass']);
  const seconds = (performance.now() - started) / 1000 / lanes;
  return {
    what: `bare interpreters, their time shared by ${lanes} lanes`,
    programs,
    passed: programs,
    seconds,
    limit: null,
  };
}

const canonical = ({ canonical }: Problem) => canonical as string;
/** Our solutions where we wrote one, else a body that only throws. */
const ownJava = ({ id, empty }: Problem) => {
  const file = join(solutions, `${id}.java`);
  return existsSync(file) ? readFileSync(file, 'utf8') : empty;
};
/** Prints 7 MiB, just under what is allowed, and passes nothing. */
const flood = () => `    print('x' * ${7 * 2 ** 20})\n`;

const rows: Row[] = [
  await judged('HumanEval, canonical solutions', 'humaneval', 8, canonical),
  bareInterpreter(164),
  await judged('MBPP test, reference solutions', 'mbpp', 25, canonical),
  await judged('MultiPL-E Java, own solutions, else throwing', 'multipl-e:java', 20, ownJava),
  await judged('HumanEval, each printing 7 MiB', 'humaneval', 60, flood),
];
const peakMiB = process.resourceUsage().maxRSS / 1024;
const report = {
  machine: `${cpus().length} × ${cpus()[0]?.model}`,
  node: process.version,
  lanes,
  rows,
  peakMiB,
};
for (const { what, programs, passed, seconds, limit } of rows) {
  const allowed = limit === null ? '' : `  (limit ${limit} s)`;
  console.log(`${what}: ${programs} programs, ${passed} passed, ${seconds.toFixed(1)} s${allowed}`);
}
console.log(`harness: at most ${peakMiB.toFixed(0)} MiB resident (limit 512)`);
if (options.save) {
  writeFileSync(join(import.meta.dirname, 'results', 'eval.json'), `${JSON.stringify(report, null, 2)}\n`);
}
if (peakMiB > 512 || rows.some(({ seconds, limit }) => limit !== null && seconds > limit))
  process.exitCode = 1;
