import type { Judgement, Program } from '@flex/judge';
import { describe, expect, test } from 'vitest';
import type { Benchmark, Completion, Problem } from '../benchmark.ts';
import { checkBenchmark } from './check-benchmark.ts';

const problem = (id: string, canonical: string | null = 'good'): Problem => ({
  id,
  language: 'py',
  prompt: '',
  stop: [],
  canonical,
  empty: 'empty',
});

function benchmark(more: Partial<Benchmark> = {}, problems = [problem('1'), problem('2', null)]): Benchmark {
  return {
    name: 'small',
    options: { a: [1] },
    async *problems() {
      yield* problems;
    },
    program: (_, { text }) => ({ language: 'py', source: text, tests: { kind: 'appended', code: '' } }),
    ...more,
  };
}

const judgement: Judgement = {
  verdict: 'passed',
  failure: null,
  detail: '',
  assurance: 'isolated',
  seconds: 0,
};
const judge = async ({ source }: Program): Promise<Judgement> =>
  source === 'good' ? judgement : { ...judgement, verdict: 'failed', failure: 'assertion', detail: 'wrong' };

describe('a benchmark passes', () => {
  test('that keeps its contract, judged or not', async () => {
    expect(await checkBenchmark(benchmark())).toEqual({ problems: 2, withoutCanonical: 1, judged: false });
    expect(await checkBenchmark(benchmark(), judge)).toEqual({
      problems: 2,
      withoutCanonical: 1,
      judged: true,
    });
  });
});

describe('a benchmark fails', () => {
  let count = 0;
  test.each<[string, Benchmark, string]>([
    ['without a name', benchmark({ name: '' }), 'has no name'],
    ['without problems', benchmark({}, []), 'must not be empty'],
    [
      'with two of one id',
      benchmark({}, [problem('1'), problem('2'), problem('1')]),
      ': 1: ids must be unique',
    ],
    ['with an empty id', benchmark({}, [problem('')]), 'ids must be unique and not empty'],
    ['whose options are no JSON', benchmark({ options: { f: () => 1 } }), 'options: must be plain JSON'],
    ['whose options JSON changes', benchmark({ options: { n: Number.NaN } }), 'options: must be plain JSON'],
    [
      'whose problems change',
      benchmark({
        async *problems() {
          yield problem(`${count++}`);
        },
      }),
      'must come out the same each time',
    ],
    [
      'whose programs change',
      benchmark({
        program: (_, { text }) => ({
          language: 'py',
          source: `${text}${count++}`,
          tests: { kind: 'appended', code: '' },
        }),
      }),
      '1, 2: equal completions must give equal programs',
    ],
    [
      'whose base programs change',
      benchmark({
        base: (_, { text }) => ({
          language: 'py',
          source: `${text}${count++}`,
          tests: { kind: 'appended', code: '' },
        }),
      }),
      '1, 2: equal completions must give equal programs',
    ],
    [
      'that changes a completion',
      benchmark({
        program: (_, completion) => {
          const { text } = completion;
          (completion as { text: string }).text = 'else';
          return { language: 'py', source: text, tests: { kind: 'appended', code: '' } };
        },
      }),
      'leave problem and completion alone',
    ],
    [
      'that changes a problem',
      benchmark({
        program: (given) => {
          (given as { prompt: string }).prompt = 'else';
          return { language: 'py', source: '', tests: { kind: 'appended', code: '' } };
        },
      }),
      'leave problem and completion alone',
    ],
    [
      'that treats whole programs impurely',
      benchmark({
        program: (_, { kind, text }: Completion) => ({
          language: 'py',
          source: kind === 'program' ? `${count++}` : text,
          tests: { kind: 'appended', code: '' },
        }),
      }),
      'equal completions must give equal programs',
    ],
  ])('%s', async (_, wrong, claim) => {
    await expect(checkBenchmark(wrong)).rejects.toThrow(claim);
  });

  test('whose solution fails, or whose empty completion passes', async () => {
    const solved = benchmark({}, [problem('1', 'bad'), problem('2')]);
    await expect(checkBenchmark(solved, judge)).rejects.toThrow(
      'benchmark "small": 1 (failed: wrong): canonical solutions must pass',
    );
    const based = benchmark({
      base: () => ({ language: 'py', source: 'bad', tests: { kind: 'appended', code: '' } }),
    });
    await expect(checkBenchmark(based, judge)).rejects.toThrow(
      '1 (failed: wrong): canonical solutions must pass',
    );
    const lenient = async () => judgement;
    await expect(checkBenchmark(benchmark(), lenient)).rejects.toThrow(
      '1, 2: empty completions must not pass',
    );
  });

  test('with five offenders named and the rest counted', async () => {
    const many = benchmark(
      {},
      Array.from({ length: 8 }, (_, i) => problem(`p${i}`, 'bad')),
    );
    await expect(checkBenchmark(many, judge)).rejects.toThrow(/p4 \(failed: wrong\) and 3 more: canonical/);
  });

  test("with the judge's own error where it throws", async () => {
    await expect(checkBenchmark(benchmark(), () => Promise.reject(new Error('no sandbox')))).rejects.toThrow(
      'no sandbox',
    );
  });
});
