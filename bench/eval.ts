// How fast evaluation judges, and what memory the harness takes, beside the limits it must keep.
// tsx eval.ts [--lanes n] and the options of harness.ts
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Problem } from '@flex/eval';
import { bench, benchOptions, type Case } from './harness.ts';
import { jobsOf, judge, passedOf, solutionOf } from './judging.ts';

const options = benchOptions({ lanes: '2' });
const lanes = Number(options.lanes);
const limitMiB = 512;
/** Of this process, the harness. */
const peakMiB = () => Math.round(process.resourceUsage().maxRSS / 1024);

/** One completion of each problem; `limit` is what it may take on two cores, in seconds. */
async function judged(
  name: string,
  benchmark: string,
  limit: number,
  completion: (problem: Problem) => string | null,
): Promise<Case> {
  const jobs = await jobsOf(benchmark, completion);
  let passed = 0;
  return {
    name,
    facts: { limit },
    async run() {
      passed = passedOf(await judge(jobs, lanes));
    },
    report: () => ({
      programs: new Set([...jobs.values()].map(({ program }) => JSON.stringify(program))).size,
      passed,
    }),
  };
}

/** What starting a bare interpreter for each program costs: no judge can do without it. */
function bareInterpreters(programs: number): Case {
  const start = async (count: number) => {
    const args = ['-s', '-S', '-B', '-c', 'pass'];
    for (let i = 0; i < count; i++) await once(spawn('/usr/bin/python3', args, { stdio: 'ignore' }), 'close');
  };
  return {
    name: 'bare interpreters',
    facts: { limit: null, programs },
    async run() {
      await Promise.all(Array.from({ length: lanes }, () => start(programs / lanes)));
    },
  };
}

/** Prints 7 MiB, just under what is allowed, and passes nothing. */
const flood = () => `    print('x' * ${7 * 2 ** 20})\n`;

const rows = await bench(options, {
  name: 'eval',
  what: `FLeX, ${lanes} lanes`,
  facts: () => ({ lanes, peak_mib: peakMiB(), limit_mib: limitMiB }),
  cases: [
    await judged('HumanEval, canonical solutions', 'humaneval', 8, solutionOf),
    bareInterpreters(164),
    await judged('MBPP test, reference solutions', 'mbpp', 25, solutionOf),
    await judged(
      'MultiPL-E Java, own solutions, else throwing',
      'multipl-e:java',
      20,
      (problem) => solutionOf(problem) ?? problem.empty,
    ),
    await judged('HumanEval, each printing 7 MiB', 'humaneval', 60, flood),
  ],
  warmUps: 0,
  rounds: 1,
});
console.log(`harness: at most ${peakMiB()} MiB resident (limit ${limitMiB})`);
const slow = rows.filter(({ limit, slowest_seconds }) => limit && slowest_seconds > Number(limit));
for (const { name, limit } of slow) console.error(`${name}: took longer than ${limit} s`);
if (peakMiB() > limitMiB || slow.length > 0) process.exitCode = 1;
