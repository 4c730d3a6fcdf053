import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judgeAll } from '../judge-all.ts';
import { openJudgementCache } from '../judgement-cache.ts';
import type { Verdict } from '../verdict.ts';
import { type Fixture, fixture, javaSandbox } from './testing.ts';

const machine = await javaSandbox();

/** Of a hundred thousand terms: more than javac's stack bears. */
const chain = (terms: number) => `return x${' + 1'.repeat(terms)};`;
const withError = (body: string) => `${body}\n}\nstatic int wrong = "";\nstatic {`;

const programs: readonly (readonly [Verdict, Fixture])[] = [
  ['passed', { body: 'double y = 1.5; return (int) (x + y - 0.5f);' }],
  ['passed', { body: 'record R(int y) {} return switch (x) { case 0 -> 1; default -> new R(x + 1).y(); };' }],
  ['passed', { body: 'java.util.function.IntUnaryOperator f = y -> y + 1; return f.applyAsInt(x);' }],
  ['failed', { body: 'return 1.5 * x;' }],
  ['failed', { body: 'return (Integer) f(x) + 1;' }],
  ['compile_error', { body: 'return x + y;' }],
  ['compile_error', { body: `return ${'('.repeat(300_000)}1.5${')'.repeat(300_000)};` }],
  ['compile_error', { body: chain(100_000) }],
  ['compile_error', { body: withError(chain(100_000)) }],
  ['memory', { body: 'throw new OutOfMemoryError();' }],
];

describe.skipIf(machine === null)('Java programs in any order', () => {
  test('and judged by one or two processes have the same verdicts', { timeout: 600_000 }, () =>
    fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([...programs.keys()], { minLength: programs.length }),
        fc.integer({ min: 1, max: 2 }),
        async (order, lanes) => {
          const judgements = await judgeAll(
            order.map((i) => ({ program: fixture(programs[i][1]), canonical: null })),
            { sandbox: machine!, lanes, timeout: 60, toolchains: {}, cache: openJudgementCache(null) },
          );
          expect(order.map((i, at) => [i, judgements[at].verdict])).toEqual(
            order.map((i) => [i, programs[i][0]]),
          );
        },
      ),
      { numRuns: 2 },
    ),
  );
});
