import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeShared, shared } from '@flex/fixtures';
import { judgeAll, openJudgementCache, openSandbox, toolchainVersions } from '@flex/judge';
import { isLong, withoutSandbox } from '@flex/judge/testing';
import { beforeEach, expect, test } from 'vitest';
import type { Problem } from './benchmark.ts';
import { openBenchmark } from './benchmarks/open-benchmark.ts';
import { passAtK } from './pass-at-k.ts';

const published = 'data/HumanEval.jsonl.gz';
const fixtures = join(import.meta.dirname, '../fixtures/learners.txt');

/** Ways to tell the next sample something: functions `put(bit)` and `get(bit)` of 14 bits. */
const [, ...parts] = readFileSync(fixtures, 'utf8').split(/^===== (.+)\n/m);
const channels = parts.flatMap((name, i) => (i % 2 === 0 ? [{ name, channel: parts[i + 1] }] : []));

/**
 * A sample that knows nothing. It guesses that an answer is True, keeps that it did, and, if it is asked
 * again, that this was right; the next sample does the same, better.
 */
const learner = (channel: string, number: number) => `${channel}
number, calls = ${number}, []

def has_close_elements(numbers, threshold):
    if calls and calls[-1]:
        put(2 * len(calls) - 1)
    call = len(calls)
    is_tried = get(2 * call)
    calls.append(not is_tried or get(2 * call + 1))
    if not is_tried:
        put(2 * call)
    return calls[-1]
`;

describeShared(published, 'pass@k of samples that guess', () => {
  // As they are when nobody has done anything to them.
  beforeEach(() => {
    for (const version of readdirSync('/usr/lib').filter((name) => /^python3\.\d+$/.test(name))) {
      const folder = join('/usr/lib', version, 'encodings');
      for (const name of readdirSync(folder).filter((name) => /^cp.*\.py$/.test(name))) {
        readFileSync(join(folder, name));
      }
    }
  });

  const cases = channels.flatMap((channel) =>
    (isLong ? [1, 2] : [1]).map((lanes) => ({ ...channel, lanes })),
  );
  test.skipIf(withoutSandbox).each(cases)(
    'is 0 with $lanes lanes, learning by $name',
    async ({ channel, lanes }) => {
      const benchmark = await openBenchmark({ name: 'humaneval', data: shared(published) });
      const [problem] = await problemsOf(benchmark.problems());
      const canonical = benchmark.program(problem, { kind: 'completion', text: problem.canonical as string });
      const jobs = Array.from({ length: 12 }, (_, number) => ({
        program: benchmark.program(problem, { kind: 'program', text: learner(channel, number) }),
        canonical,
      }));
      const judgements = await judgeAll(jobs, {
        sandbox: await openSandbox(),
        lanes,
        timeout: null,
        toolchains: await toolchainVersions(['py']),
        cache: openJudgementCache(null),
      });
      // One that answers nothing would fail as well.
      expect(judgements.filter(({ failure }) => failure !== null && failure !== 'assertion')).toEqual([]);
      const passes = judgements.filter(({ verdict }) => verdict === 'passed').length;
      expect(passAtK(12, passes, 12)).toBe(0);
    },
  );
});

async function problemsOf(problems: AsyncIterable<Problem>): Promise<Problem[]> {
  const all: Problem[] = [];
  for await (const problem of problems) all.push(problem);
  return all;
}
