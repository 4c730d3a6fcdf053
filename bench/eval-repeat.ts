// Whether verdicts depend on how busy the machine is: one suite judged again and again beside busy loops.
// tsx eval-repeat.ts [--load 4] and the options of harness.ts
import { spawn } from 'node:child_process';
import type { Problem } from '@flex/eval';
import { bench, benchOptions } from './harness.ts';
import { jobsOf, judge, passedOf, solutionOf } from './judging.ts';

const options = benchOptions({ load: '4' });
const load = Number(options.load);

let solvable = 0;
/** Solved and unsolved by turns, of the problems with a known solution. */
const byTurns = (problem: Problem) => {
  const solution = solutionOf(problem);
  return solution === null || solvable++ % 2 === 0 ? solution : problem.empty;
};
const suite = new Map([
  ...(await jobsOf('humaneval', byTurns)),
  ...(await jobsOf('multipl-e:java', byTurns)),
]);
const seen: string[][] = [];
let passed = 0;
/** Ids of programs with more than one verdict. */
const unstable = () =>
  [...suite.keys()].filter((_, i) => seen.some((verdicts) => verdicts[i] !== seen[0][i]));

const busy = Array.from({ length: load }, () =>
  spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }),
);
try {
  await bench(options, {
    name: 'eval-repeat',
    what: 'FLeX, 2 lanes',
    facts: () => ({ load }),
    cases: [
      {
        name: `${suite.size} programs beside ${load} busy loops`,
        facts: { programs: suite.size },
        async run() {
          const judgements = await judge(suite, 2);
          passed = passedOf(judgements);
          seen.push(judgements.map(({ verdict, failure }) => `${verdict} ${failure ?? ''}`));
        },
        report: () => ({ passed, unstable: unstable() }),
      },
    ],
    warmUps: 0,
    rounds: 20,
  });
} finally {
  for (const child of busy) child.kill('SIGKILL');
}
console.log(
  `${unstable().length} with more than one verdict${unstable()
    .map((id) => `\n  ${id}`)
    .join('')}`,
);
if (unstable().length > 0) process.exitCode = 1;
